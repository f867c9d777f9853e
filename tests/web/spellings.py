"""Sixty spellings that would be a part of a page, or lead elsewhere, if pages let them, and a run that is full of them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from sshjobs.model.host import Host
from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit

SPELLINGS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)", "' onfocus='alert(1)",
    "javascript:alert(1)", "{{7*7}}", "${7*7}", "<svg/onload=alert(1)>", "&lt;b&gt;", "</title><script>alert(1)</script>",
    "a%0aSet-Cookie:x=y", "--><script>alert(1)</script>", "]]><script>", "\\u003cscript\\u003e", "data:text/html,<b>",
    "<iframe src=javascript:alert(1)>", "<a href=javascript:alert(1)>x</a>", "<body onload=alert(1)>", "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "<form action=//evil.example><button>x", "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video src=x onerror=alert(1)>", "<math><mi xlink:href=javascript:alert(1)>", "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>", "<template><script>alert(1)</script>", "<noscript><img src=x onerror=alert(1)>",
    "`${alert(1)}`", "${alert(1)}", "#{alert(1)}", "<%= alert(1) %>", "{%raw%}", "[[alert(1)]]", "';alert(1)//", "\";alert(1)//",
    "\\';alert(1)//", "%3Cscript%3Ealert(1)%3C/script%3E", "&#60;script&#62;", "&#x3c;script&#x3e;", "+ADw-script+AD4-",
    "\uff1cscript\uff1e", "<scr<script>ipt>", "<ScRiPt>alert(1)</sCrIpT>", "<<script>alert(1)//<</script>", "a?view=manage&run=x",
    "a#token=0", "a&job=b", "a=b;c=d", "%2e%2e%2f", "..\\..\\x", "a\u2028b", "e\u0301\u0301\u0301", "\u202egnp.exe", "\u200bblank",
    "constructor", "__proto__", "*", "a" * 180,
]


def hostile_run(results: Path, spellings: list[str]) -> tuple[RunPaths, list[str]]:
    """Make a run whose jobs, hosts, outputs, files, reasons, parameters and results are called by these spellings; return its paths and
    the names of its jobs."""
    names = [spelling.replace("/", "\u2215") for spelling in spellings]
    # Each with parameters called otherwise, so that each has a spec of its own.
    params = {name: {f"q{n}": ""} for n, name in enumerate(names)}
    with edit(results, "bad-1", names, params=params) as run:
        run.store.add_hosts([Host(spelling) for spelling in spellings])
        for name, spelling in zip(names, spellings, strict=True):
            run.failed(name, spelling.encode(), spelling.encode())
            job = run.jobs[name]
            job.reason = job.attempts[-1].reason = spelling
            job.host = job.attempts[-1].host = spelling
            run.store.touch(job)
            run.store.set_host(spelling, "away", spelling, since=1.0, facts={"hostname": spelling, "gpus": [spelling], "python": spelling})
            outputs = run.paths.files(name)
            outputs.mkdir(parents=True)
            (outputs / (name + ".txt")).write_text(spelling)
        run.paths.jobfile.write_text("\n".join(spellings))
    give_values(run.paths.store, names, spellings)
    return run.paths, names


def give_values(store: Path, names: list[str], spellings: list[str]) -> None:
    """Give jobs parameters and results that are called so and have such values, as a store that was forged may have them."""
    with sqlite3.connect(store) as connection:
        for name, spelling in zip(names, spellings, strict=True):
            for statement, values in (
                    ("UPDATE specs SET spec = json_set(spec, '$.param_names', json_array(?, 'p')) WHERE id = (SELECT spec FROM jobs WHERE name = ?)", (spelling, name)),
                    ("UPDATE jobs SET params = json_array(?, ?) WHERE name = ?", (spelling, spelling, name)),
                    ("UPDATE attempts SET result = ? WHERE job = (SELECT number FROM jobs WHERE name = ?)",
                     (json.dumps({spelling: spelling, "r": spelling, "of": {spelling: [spelling]}}), name))):
                assert connection.execute(statement, values).rowcount == 1
    connection.close()
