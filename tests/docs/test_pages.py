"""Every command in the documentation is run, and prints what the page says; every Python example runs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.compare import differs
from tests.docs.page import ESCAPES, Block, blocks, commands, pages
from tests.docs.shell import PageShell
from tests.house.source import ROOT
from tests.lab.slurm import SlurmCluster

#: Commands that are shown and not run here, with the reason.
NOT_RUN = {
    "make test": "it is what runs this test",
    "pip install .": "tests/house/test_packaging.py does, in an environment of its own",
}
#: Pages that other tests run.
ELSEWHERE = {
    "parallel.md": "tests/acceptance/test_parallel_page.py compares each pair of its lines byte for byte",
}
#: These report on jobs as they end, in any order.
ANY_ORDER = re.compile(r"^(sshjobs (run|resume)\b|make run$|python3? )")
#: These tell which host took which job.
ANY_HOST = re.compile(r"^(sshjobs (run|resume|status|cancel)\b|python3? )")
#: Programs that pages speak of and that are hardly installed here: they do what shows that they were there.
STAND_INS = {
    "apptainer": 'export APPTAINER_CONTAINER="$2"; shift 2; exec "$@"',
}
#: The same for one page alone: what is on its hosts.
OF_PAGE = {
    "gpus.md": {"nvidia-smi": """case "$*" in
  -L) echo 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)'
      echo 'GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-88e3f0ab-0bd4-3b4f-6ef4-8a0bbf3a9f6e)';;
  *--query-gpu=index*) echo '0, GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77, NVIDIA A100-SXM4-40GB, 40960, 4, Disabled'
      echo '1, GPU-88e3f0ab-0bd4-3b4f-6ef4-8a0bbf3a9f6e, NVIDIA A100-SXM4-40GB, 40960, 4, Disabled';;
esac"""},
}
#: What README.md finds around it: it is read in a clone.
CLONE = ("Makefile", "setup.cfg", "pyproject.toml", ".ci", "jobfiles")
#: Pages with one of these use hosts of the lab.
LAB_HOSTS = re.compile(r"\bnode(0\d|\[)")
#: Pages with this use a cluster of Slurm.
ALLOCATIONS = re.compile(r"--hosts slurm:")
#: Its nodes are this machine.
TWIN = re.compile(r"warn +slurm1-[12]: is the same machine as slurm1-")


# Some bring up engine clusters, which takes its time where the machine has other things to do.
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in pages(ROOT) if page.name not in ELSEWHERE],
                         ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text()
    runnable = [block for block in blocks(text) if block.info in ("console", "python") or block.file]
    on_hosts = any(LAB_HOSTS.search(block.text) for block in runnable)
    lab = request.getfixturevalue("lab") if on_hosts else None
    for host in lab.hosts if lab is not None else ():
        # A page shows hosts as it has left them, not what runs of another page, which were given up, have there.
        shutil.rmtree(host.home / ".sshjobs", ignore_errors=True)
    with contextlib.ExitStack() as stack:
        more: Mapping[str, str] = {}
        if any(ALLOCATIONS.search(block.text) for block in runnable):
            if os.geteuid():
                pytest.skip("a cluster of Slurm is started by root")
            more = stack.enter_context(SlurmCluster()).environment
        shell = stack.enter_context(PageShell(tmp_path, lab, more))
        if page.name == "README.md":
            for name in CLONE:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, shell.work / name)
        for name, script in (STAND_INS | OF_PAGE.get(page.name, {})).items():
            shell.program(name, script)
        for block in runnable:
            _play(shell, page, block)


def _play(shell: PageShell, page: Path, block: Block) -> None:
    if block.file:
        shell.write(block.file, block.text)
    elif block.info == "python":
        shell.write(".example.py", block.text)
        status, printed = shell.run("python .example.py")
        assert status == 0, "\n".join([f"{page.name}:{block.line}: this Python fails", *printed])
    else:
        for command in commands(block):
            if command.text in NOT_RUN:
                continue
            _, printed = shell.run(command.text)
            printed = [line for line in printed if not TWIN.search(line)]
            told = differs(command.output, printed, ordered=not ANY_ORDER.match(command.text),
                           any_host=bool(ANY_HOST.match(command.text)))
            assert told is None, f"{page.name}:{command.line}: $ {command.text}\n{told}"


@pytest.mark.parametrize("page", pages(ROOT), ids=lambda page: page.name)
def test_no_command_escapes_its_test(page: Path) -> None:
    for block in blocks(page.read_text()):
        assert block.info.split()[:1] not in [[kind] for kind in ESCAPES], f"{page.name}:{block.line}: use console"
        assert block.info != "console" or not block.indented, f"{page.name}:{block.line}: is indented, so not run"
