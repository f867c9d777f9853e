"""The files of the pages: all modules in one, kept by browsers for as long as they stay the same."""

from __future__ import annotations

import re
from pathlib import Path

from sshjobs.web.pagefiles import STATIC, joined, page_files
from tests.web.serving import Served


def test_all_modules_come_in_one_file() -> None:
    """Where one is left out, or an import is written in another way, the pages ask for it, or are not shown at all."""
    code = page_files(None).whole["main.js"].decode()
    assert re.findall(r"^(?:import|export).*", code, re.MULTILINE) == []
    modules = list(STATIC.rglob("*.js"))
    assert code.count("const module") == len(modules) == len(re.findall(r"^return \{.*\};\n\}\)\(\);$", code, re.MULTILINE))


def test_each_module_keeps_its_names_and_stands_behind_those_that_it_imports() -> None:
    files = {"main.js": 'import { one as first } from "./a.js";\nimport { two } from "./b/c.js";\nconst a = first + two;\nadd(a);\n',
             "a.js": 'import { two } from "./b/c.js";\n\nexport const one = two - 1;\nexport function add(n) {}\n',
             "b/c.js": "var a=2;export{a as two,b as three};"}
    assert joined(files, "main.js") == """const module0 = (() => {
var a=2;
return { two: a, three: b };
})();
const module1 = (() => {
const { two } = module0;

const one = two - 1;
function add(n) {}

return { one, add };
})();
const module2 = (() => {
const { one: first } = module1;
const { two } = module0;
const a = first + two;
add(a);

return {  };
})();
"""


def test_browsers_keep_files_and_get_new_ones_at_once(served: Served, tmp_path: Path) -> None:
    with served.client() as client:
        page = client.get("/")
        assert page.headers["cache-control"] == "no-cache"
        paths = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        assert len(paths) == 3 and all(path.startswith(f"static/{page_files(None).digest}/") for path in paths)
        for path in paths:
            answer, whole = client.get(f"/{path}"), client.get(f"/{path}", headers={"Accept-Encoding": "identity"})
            assert answer.status_code == 200 and answer.content == whole.content
            assert "immutable" in answer.headers["cache-control"] and answer.headers["vary"] == "Accept-Encoding"
            assert (answer.headers["content-encoding"], whole.headers["content-encoding"]) == ("gzip", "identity")
        # At an address without the digest there may be something else tomorrow.
        assert client.get("/static/main.js").headers["cache-control"] == "no-cache"
        assert client.get(f"/static/{'0' * 16}/main.js").status_code == 404
    before = page_files(tmp_path).digest
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("<p>ours</p>")
    assert page_files(tmp_path / "other").digest != before
