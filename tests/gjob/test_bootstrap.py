"""Getting there: the remote command, the first stage, the marker, the front, and what is in the way of them."""

from __future__ import annotations

import ast
import json
import marshal
import os
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest

from sshjobs.errors import UsageError
from sshjobs.network import payload
from tests.gjob.client import NONCE, FarHost, eventually

PACKAGES = {"sshjobs", "sshjobs.gjob", "sshjobs.gjob.agent"}


def stage_run(code: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a first stage that was changed by a line before it."""
    length, _, rest = payload.first_stage(NONCE).partition(b"\n")
    stage, modules = rest[:int(length)], rest[int(length):]
    stage = code.encode() + b"\n" + stage
    return subprocess.run(["sh", "-c", payload.remote_command(sys.executable)], env=environ, capture_output=True,
                          input=b"%d\n" % len(stage) + stage + modules, timeout=20)


def test_remote_command_is_one_constant_line_that_every_shell_reads_alike() -> None:
    assert payload.remote_command(None) == (
        'exec python3 -ISc "import sys;exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"')
    assert not set(payload.remote_command(None)) & set("\n!\\$`'*?[]{}~#&|<>^")


def test_what_travels_is_what_the_front_needs_and_no_more() -> None:
    needs: dict[str, set[str]] = {}
    for name, text in payload.sources().items():
        found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.level]
        here = name if name in PACKAGES else name.rpartition(".")[0]
        needs[name] = {".".join([*here.split(".")[:len(here.split(".")) + 1 - node.level], other]) for node in found
                       for other in ([node.module] if node.module else [alias.name for alias in node.names])}
    reached, todo = set(), ["sshjobs.gjob.agent.front"]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += needs[name]
    assert reached | PACKAGES == set(payload.sources())


def test_the_start_of_an_agent_imports_no_large_module(far: FarHost) -> None:
    modules = dict(payload.sources())
    agent = "sshjobs.gjob.agent.agent"
    modules[agent] += ("\nimport sys\nrun = Agent.run\ndef first_tell(agent):\n"
                       "    agent._talk.link.say(t='warn', msg=' '.join(sys.modules))\n    run(agent)\nAgent.run = first_tell\n")
    far.packed = payload.pack(modules)
    link = far.connect()
    large = {"argparse", "collections", "contextlib", "enum", "functools", "hashlib", "json", "logging", "pathlib",
             "re", "shutil", "socket", "subprocess", "tempfile", "threading", "traceback", "typing", "zipfile"}
    imported = set(link.until("warn")["msg"].split())
    assert {"sshjobs.gjob.agent.agent", "sshjobs.gjob.runner"} <= imported
    assert large & imported == set()


def test_the_manager_of_a_new_run_is_welcomed_before_the_agent_is_loaded(make_far: Callable[..., FarHost]) -> None:
    modules = dict(payload.sources())
    agent = "sshjobs.gjob.agent.agent"
    wait = "import os, time\nwhile not os.path.exists(os.environ['HOME'] + '/go'): time.sleep(0.01)\n"
    modules[agent] = wait + modules[agent]
    far = make_far(payload.pack(modules))
    link = far.greet(hurry=True)
    assert link.until("welcome")["resumed"] is False
    (far.home / "go").touch()
    assert link.run("1.1", "true")["status"] == 0
    assert [frame["t"] for frame in link.frames].count("welcome") == 1


def test_nothing_but_words_for_people_is_left_out_of_what_travels() -> None:
    for name, text in payload.sources().items():
        trees = [ast.parse(text), ast.parse(payload.without_docstrings(text))]
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    node.value = ast.copy_location(ast.Constant(""), node)
        told = [[(type(node), getattr(node, "lineno", 0)) for node in ast.walk(tree)] for tree in trees]
        assert told[0] == told[1], name
        assert ast.dump(trees[0]) == ast.dump(trees[1]), name


def test_compiled_code_keeps_its_lines_and_names_its_file_as_on_hosts() -> None:
    codes = marshal.loads(payload.compiled())
    assert codes.keys() == payload.sources().keys() - payload.SELDOM
    todo = []
    for name, packed in codes.items():
        file, code = name.replace(".", "/") + ".py", marshal.loads(zlib.decompress(packed))
        todo.append((compile(payload.sources()[name], file, "exec", dont_inherit=True), code))
    for meant, sent in todo:
        assert (sent.co_filename, sent.co_code) == (meant.co_filename, meant.co_code)
        assert list(sent.co_lines()) == list(meant.co_lines()), meant
        todo += [pair for pair in zip(meant.co_consts, sent.co_consts, strict=True) if isinstance(pair[0], CodeType)]


def test_compiled_code_has_no_docstrings_and_lacks_nothing_else() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for name, packed in marshal.loads(payload.compiled()).items():
        text = payload.sources()[name]
        docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(ast.parse(text))
                      if isinstance(node, documented)}
        todo = [(compile(text, name, "exec", dont_inherit=True), marshal.loads(zlib.decompress(packed)))]
        for meant, sent in todo:
            for want, got in zip(meant.co_consts, sent.co_consts, strict=True):
                if isinstance(want, CodeType):
                    todo.append((want, got))
                elif got != want:
                    assert (want in docstrings, got) == (True, ""), (name, meant.co_name)
                elif sys.version_info < (3, 13):  # which changes how long ones are indented, so that these travel
                    assert not isinstance(want, str) or want not in docstrings - {""}, (name, meant.co_name)


@pytest.mark.parametrize("fits", [True, False])
def test_compiled_code_serves_where_the_python_is_the_same(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    hello = json.dumps({"a": "\u20ac'\"\\\n"}) + "\n"
    code = compile("def main(nonce, *given): print('compiled', given)", "x", "exec")
    front = "sshjobs.gjob.agent.front"
    monkeypatch.setattr(payload, "_packed", lambda level: payload.pack({
        **dict.fromkeys(PACKAGES, ""), front: "def main(nonce, *given): print('source', given)"}))
    monkeypatch.setattr(payload, "compiled", lambda: marshal.dumps({front: zlib.compress(marshal.dumps(code))}))
    if not fits:
        monkeypatch.setattr(payload, "THIS_PYTHON", "cpython-27 b'old'")
    done = subprocess.run(["sh", "-c", payload.remote_command(sys.executable)], capture_output=True, timeout=20,
                          input=payload.first_stage(NONCE, hello=hello.encode(), near=True))
    assert (done.stdout.decode(), done.stderr) == (f"{'compiled' if fits else 'source'} {(hello,)!r}\n", b"")


def test_a_hello_in_the_first_stage_is_answered_at_the_first_word(far: FarHost) -> None:
    link = far.greet(near=True)
    link.say("sync", a=[], last=True)
    assert link.until("welcome")["resumed"] is False
    assert link.run("1.1", "true")["status"] == 0


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "bash", "dash", "zsh", "csh", "tcsh", "fish", "ksh")
                                   if shutil.which(shell)])
def test_every_shell_here_runs_it(shell: str, tmp_path: Path) -> None:
    done = subprocess.run([shell, "-c", payload.remote_command(sys.executable)], input=payload.first_stage(NONCE),
                          env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"\nSSHJOBS-READY {NONCE}\n".encode(), b"")


@pytest.mark.parametrize("python", ["python3; rm -rf /", "a b", "$(x)", "-c", "'x'", "", "a\nb", "py\u0142"])
def test_an_interpreter_that_a_shell_could_misread_is_refused(python: str) -> None:
    if python == "-c":
        assert shlex.split(payload.remote_command("./-c"))[1] == "./-c"
        return
    with pytest.raises(UsageError):
        payload.remote_command(python)


def test_an_old_python_says_which_it_is() -> None:
    done = stage_run("import sys; sys.version_info = (3, 5, 2)")
    assert (done.returncode, done.stdout) == (3, f"\nSSHJOBS-OLD {NONCE} 3.5.2\n".encode())


def test_another_system_than_linux_says_which_it_is() -> None:
    done = stage_run("import sys, platform; sys.platform = 'darwin'; platform.system = lambda: 'Darwin'")
    assert (done.returncode, done.stdout) == (3, f"\nSSHJOBS-NOT-LINUX {NONCE} Darwin\n".encode())


def test_modules_in_the_home_directory_are_not_ours(far: FarHost) -> None:
    for name in ("json", "zlib", "os", "socket", "sshjobs", "subprocess"):
        (far.home / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    far.environ["PYTHONPATH"] = str(far.home)
    before = os.getcwd()
    os.chdir(far.home)
    try:
        link = far.connect()
    finally:
        os.chdir(before)
    assert link.run("1.1", "true")["status"] == 0


def test_nothing_is_written_before_the_marker_and_hello_follows_at_once(far: FarHost) -> None:
    link = far.open()
    assert link.noise == b""
    # Hello, sync and a launch in one write: the front may take no byte of what is not its own.
    from tests.gjob.client import encode

    link.write(encode("hello", v=1, run=far.run, name="r", host="far", epoch=1, slots=1, root=None)
               + encode("sync", a=[], last=True)
               + encode("launch", id="1.1", token="t" * 16, job="j", index=1, spec={"argv": ["echo", "hi"]}))
    link.until("welcome")
    assert link.end_of("1.1")["out"] == 3


def test_source_lines_of_ours_stand_in_tracebacks(far: FarHost, make_far: Callable[..., FarHost]) -> None:
    modules = dict(payload.sources())
    talk = "sshjobs.gjob.agent.talk"
    modules[talk] = modules[talk].replace('self.link.say(t="pong"', 'raise KeyError("planted")  # here')
    broken = make_far(payload.pack(modules))
    link = broken.connect()
    log = broken.directory / "log"
    link.run("1.1", "true")
    link.say("ping", seq=1)
    frame = link.next()
    assert frame["t"] == "error" and "planted" in frame["msg"]
    assert link.hung_up()
    assert 'raise KeyError("planted")  # here' in log.read_text()
    # A fault of ours costs a link, nothing else.
    agent = broken.agent
    link = broken.connect()
    assert broken.agent == agent
    assert link.run("2.1", "true")["status"] == 0


def test_a_home_that_cannot_be_written_is_replaced(far: FarHost) -> None:
    far.environ["HOME"] = "/proc/no-home"
    link = far.connect()
    assert far.welcome["root"] == f"/var/tmp/sshjobs-{os.getuid()}"
    assert link.run("1.1", "true")["status"] == 0
    link.say("bye")
    assert link.until("gone")["files"] == 0
    assert not Path(far.welcome["root"], far.run).exists()


def test_a_root_that_cannot_be_used_is_refused_by_name(far: FarHost) -> None:
    (far.home / "file").touch()
    for root, kind in ((str(far.home / "file"), "read-only"), ("/proc/x", "read-only")):
        link = far.open()
        far.hello(link, root=root)
        frame = link.next()
        assert (frame["t"], frame["kind"]) == ("refused", kind)
        assert root in frame["why"] and frame["hint"]
        assert link.hung_up()


def test_a_root_of_the_users_own_is_used_and_left_alone(far: FarHost) -> None:
    root = far.home / "scratch"
    root.mkdir(mode=0o755)
    link = far.connect(root=str(root))
    link.run("1.1", "true")
    assert far.welcome["root"] == str(root)
    assert (root / far.run).stat().st_mode & 0o777 == 0o700
    link.say("bye")
    link.until("gone")
    eventually(lambda: not any(root.iterdir()), "the deletion")
    assert root.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("what", ["a file", "a link"])
def test_a_fallback_that_somebody_prepared_is_not_entered(tmp_path: Path, what: str) -> None:
    from sshjobs.gjob.places import Unusable, own_directory

    path = tmp_path / "place"
    if what == "a file":
        path.touch()
    else:
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unusable):
        own_directory(str(path))


def test_a_directory_that_others_could_read_is_closed(tmp_path: Path) -> None:
    from sshjobs.gjob.places import own_directory

    path = tmp_path / "place"
    path.mkdir(mode=0o755)
    own_directory(str(path))
    assert path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702, 0o1777])
def test_a_directory_that_others_could_write_is_not_gone_on_with(tmp_path: Path, mode: int) -> None:
    from sshjobs.gjob.places import Unusable, own_directory

    path = tmp_path / "place"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(Unusable, match="others may write"):
        own_directory(str(path))
    assert path.stat().st_mode & 0o7777 == mode
    path.chmod(mode & 0o755)
    own_directory(str(path))


def test_a_stale_socket_is_replaced(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", "true")
    far.kill_agent()
    sockets = [path for path in Path(f"/tmp/sshjobs-{os.getuid()}").iterdir() if path.name.startswith(far.run[:8])]
    assert {path.suffix for path in sockets} == {".sock", ".lock"}
    assert far.connect().run("2.1", "true")["status"] == 0


def test_silence_after_the_marker_ends_in_peace(far: FarHost) -> None:
    link = far.open()
    assert link.process.stdin is not None
    link.process.stdin.close()
    assert link.process.wait(20) == 0
