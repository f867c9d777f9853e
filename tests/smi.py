"""Stand-ins for nvidia-smi, amd-smi and rocm-smi, which print what real ones have printed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: What answers which question; ``.status`` beside a file is the exit status.
_NVIDIA = """#!/bin/sh
d=${{0%/*}}/../says
echo "$*" >> $d/asked
[ ! -e $d/hang ] || sleep 600
case "$*" in
  -L) f=list;;
  *--query-gpu=utilization*) f=use;;
  *--query-gpu=*mig.mode.current*) f=mig; [ -e $d/mig ] || f=gpus;;
  *--query-gpu=*) f=gpus;;
  *--query-compute-apps=*) f=apps;;
  '') f=table;;
esac
cat $d/$f 2>/dev/null
exit $(cat $d/$f.status 2>/dev/null || echo 0)
"""
_AMD = """#!/bin/sh
d=${{0%/*}}/../says
echo "$*" >> $d/asked
[ ! -e $d/hang ] || sleep 600
f=$1
[ {tool} = amd-smi ] || f=rocm
cat $d/$f 2>/dev/null
exit $(cat $d/$f.status 2>/dev/null || echo 0)
"""


class Smi:
    """A tool on its PATH.

    :ivar directory: where what it prints stands, a file for each question
    """

    def __init__(self, where: Path, files: Mapping[str, str], tool: str = "nvidia-smi"):
        self.directory, self.path = where / "says", where / "bin"
        for directory in (self.directory, self.path):
            directory.mkdir(parents=True)
        (self.directory / "asked").touch()
        program = self.path / tool
        program.write_text((_NVIDIA if tool == "nvidia-smi" else _AMD).format(tool=tool))
        program.chmod(0o755)
        for name, text in files.items():
            self.says(name, text)

    def says(self, name: str, text: str) -> None:
        """Have it answer a question so from now on, as a whole."""
        (self.directory / f"{name}.new").write_text(text)
        (self.directory / f"{name}.new").rename(self.directory / name)

    def asked(self) -> list[str]:
        """Return what it was asked so far."""
        return (self.directory / "asked").read_text().splitlines()

    def vanish(self) -> None:
        """Have no such tool any more."""
        shutil.rmtree(self.path)


def gpu(number: int) -> str:
    """Return a UUID."""
    return f"GPU-{number:08x}-1111-2222-3333-444444444444"


def cards(count: int, *, memory: int = 40960, name: str = "NVIDIA A100-SXM4-40GB", used: Mapping[int, int] | None = None,
          first: int = 0) -> dict[str, str]:
    """Return what a new nvidia-smi says of so many cards alike.

    :param first: number of the first UUID
    """
    return {
        "list": "".join(f"GPU {n}: {name} (UUID: {gpu(first + n)})\n" for n in range(count)),
        "mig": "".join(f"{n}, {gpu(first + n)}, {name}, {memory}, {(used or {}).get(n, 0)}, [N/A]\n" for n in range(count)),
        "apps": "", "use": "".join("0, 0\n" for _ in range(count))}


def program(files: Mapping[str, str]) -> str:
    """Return an nvidia-smi in one piece, for hosts that have no place for what it says."""
    text = _NVIDIA.partition("case ")
    said = "".join(f"{name}) cat <<'END'\n{files[name]}END\n;;\n" for name in files)
    return "#!/bin/sh\n" + text[1] + text[2].partition("cat $d")[0].replace("[ -e $d/mig ]", "true") + f'case "$f" in\n{said}esac\n'


class Told(NamedTuple):
    """A unit, as it is to be understood. Sizes are MiB."""

    uuid: str
    label: str
    name: str
    memory: int | None
    used: int | None
    whole: bool = True
    trouble: str | None = None
    pids: tuple[int, ...] = ()


class Recorded(NamedTuple):
    """What a tool has printed, and what that means: GPUs, or the beginning of what is in the way."""

    tool: str
    files: Mapping[str, str]
    means: list[Told] | str


_A, _B, _C = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77", "GPU-88e3f0ab-0bd4-3b4f-6ef4-8a0bbf3a9f6e", "GPU-08960000-cba5-4711-bf68-085fd0711d8c"
_M = ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "MIG-cba663e8-9bed-5b25-b243-5985ef7c9beb")
_OLD_MIG = ("MIG-GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/7/0", "MIG-GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77/1/0")
_TABLE = """Mon Nov 30 14:02:11 2026
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 525.85.12    Driver Version: 525.85.12    CUDA Version: 12.0     |
|-------------------------------+----------------------+----------------------+
| GPU  Name        Persistence-M| Bus-Id        Disp.A | Volatile Uncorr. ECC |
| Fan  Temp  Perf  Pwr:Usage/Cap|         Memory-Usage | GPU-Util  Compute M. |
|                               |                      |               MIG M. |
|===============================+======================+======================|
|   0  NVIDIA A100-SXM...  On   | 00000000:07:00.0 Off |                   On |
| N/A   30C    P0    42W / 400W |    612MiB / 40960MiB |     N/A      Default |
|                               |                      |              Enabled |
+-------------------------------+----------------------+----------------------+

+-----------------------------------------------------------------------------+
| MIG devices:                                                                |
+------------------+----------------------+-----------+-----------------------+
| GPU  GI  CI  MIG |         Memory-Usage |        Vol|         Shared        |
|      ID  ID  Dev |           BAR1-Usage | SM     Unc| CE  ENC  DEC  OFA  JPG|
|                  |                      |        ECC|                       |
|==================+======================+===========+=======================|
|  0    7   0   0  |    599MiB /  4864MiB | 14      0 |  1   0    0    0    0 |
|                  |      2MiB /  8191MiB |           |                       |
+------------------+----------------------+-----------+-----------------------+
|  0    1   0   1  |     13MiB / 19968MiB | 42      0 |  3   0    2    0    0 |
|                  |      0MiB / 32767MiB |           |                       |
+------------------+----------------------+-----------+-----------------------+

+-----------------------------------------------------------------------------+
| Processes:                                                                  |
|  GPU   GI   CI        PID   Type   Process name                  GPU Memory |
|        ID   ID                                                   Usage      |
|=============================================================================|
|    0    7    0    4194300      C   python3                           569MiB |
+-----------------------------------------------------------------------------+
"""
_FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n\n"
_LOST = "Unable to determine the device handle for GPU 0000:88:00.0: GPU is lost.  Reboot the system to recover this GPU\n"

RECORDED: Mapping[str, Recorded] = {
    "550, two cards, a process": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {_A})\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: {_B})\n",
        "mig": f"0, {_A}, NVIDIA A100-SXM4-40GB, 40960, 1893, Disabled\n1, {_B}, NVIDIA A100-SXM4-40GB, 40960, 0, Disabled\n",
        "apps": f"{_A}, 4194300\n"},
        [Told(_A, "0", "NVIDIA A100-SXM4-40GB", 40960, 1893, pids=(4194300,)), Told(_B, "1", "NVIDIA A100-SXM4-40GB", 40960, 0)]),
    "430, no MIG yet": Recorded("nvidia-smi", {
        "list": f"GPU 0: GeForce RTX 2080 Ti (UUID: {_C})\n",
        "mig": 'Field "mig.mode.current" is not a valid field to query.\n\n', "mig.status": "2",
        "gpus": f"0, {_C}, GeForce RTX 2080 Ti, 11019, 154\n", "apps": ""},
        [Told(_C, "0", "GeForce RTX 2080 Ti", 11019, 154)]),
    "470, a desktop card that tells little": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA GeForce GTX 745 (UUID: {_C})\n",
        "mig": f"0, {_C}, NVIDIA GeForce GTX 745, 4043, [Not Supported], [N/A]\n", "apps": "[Not Supported]\n"},
        [Told(_C, "0", "NVIDIA GeForce GTX 745", 4043, None)]),
    "340, no processes": Recorded("nvidia-smi", {
        "list": f"GPU 0: Tesla K40m (UUID: {_C})\n", "mig": 'Field "mig.mode.current" is not a valid field to query.\n',
        "mig.status": "2", "gpus": f"0, {_C}, Tesla K40m, 11519, 22\n", "apps": "No running processes found\n"},
        [Told(_C, "0", "Tesla K40m", 11519, 22)]),
    "525, cut into instances": Recorded("nvidia-smi", {
        "list": (f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {_A})\n  MIG 1g.5gb      Device  0: (UUID: {_M[0]})\n"
                 f"  MIG 3g.20gb     Device  1: (UUID: {_M[1]})\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: {_B})\n"),
        "mig": f"0, {_A}, NVIDIA A100-SXM4-40GB, 40960, 612, Enabled\n1, {_B}, NVIDIA A100-SXM4-40GB, 40960, 0, Disabled\n",
        "apps": f"{_A}, 4194300\n", "table": _TABLE},
        [Told(_M[0], "0:0", "MIG 1g.5gb", 4864, 599, False, pids=(4194300,)), Told(_M[1], "0:1", "MIG 3g.20gb", 19968, 13, False),
         Told(_B, "1", "NVIDIA A100-SXM4-40GB", 40960, 0)]),
    "450, instances by their older names": Recorded("nvidia-smi", {
        "list": (f"GPU 0: A100-SXM4-40GB (UUID: {_A})\n  MIG 1g.5gb Device 0: (UUID: {_OLD_MIG[0]})\n"
                 f"  MIG 3g.20gb Device 1: (UUID: {_OLD_MIG[1]})\n"),
        "mig": f"0, {_A}, A100-SXM4-40GB, 40536, 612, Enabled\n", "apps": "", "table": _TABLE},
        [Told(_OLD_MIG[0], "0:0", "MIG 1g.5gb", 4864, 599, False, pids=(4194300,)), Told(_OLD_MIG[1], "0:1", "MIG 3g.20gb", 19968, 13, False)]),
    "MIG on, no instance made": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {_A})\n", "mig": f"0, {_A}, NVIDIA A100-SXM4-40GB, 40960, 0, Enabled\n", "apps": ""}, []),
    "one asks for a reset, one is lost": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA H100 80GB HBM3 (UUID: {_A})\n{_LOST}",
        "mig": f"0, {_A}, NVIDIA H100 80GB HBM3, 81559, [GPU requires reset], Disabled\n{_LOST}", "mig.status": "15",
        "gpus": f"0, {_A}, NVIDIA H100 80GB HBM3, 81559, [GPU requires reset]\n{_LOST}", "gpus.status": "15", "apps": ""},
        [Told(_A, "0", "NVIDIA H100 80GB HBM3", 81559, None, trouble="GPU requires reset")]),
    "unknown error": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA H100 80GB HBM3 (UUID: {_A})\n",
        "mig": f"0, {_A}, NVIDIA H100 80GB HBM3, [Unknown Error], [Unknown Error], [Unknown Error]\n", "apps": ""},
        [Told(_A, "0", "NVIDIA H100 80GB HBM3", None, None, trouble="Unknown Error")]),
    "not allowed": Recorded("nvidia-smi", dict.fromkeys(
        ("list", "mig", "gpus", "apps"), "Failed to initialize NVML: Insufficient Permissions\n")
        | dict.fromkeys(("list.status", "mig.status", "gpus.status", "apps.status"), "4"),
        "Failed to initialize NVML: Insufficient Permissions"),
    "not allowed to see use": Recorded("nvidia-smi", {
        "list": f"GPU 0: NVIDIA A100-SXM4-40GB (UUID: {_A})\n",
        "mig": f"0, {_A}, NVIDIA A100-SXM4-40GB, 40960, [Insufficient Permissions], Disabled\n",
        "apps": "[Insufficient Permissions]\n"}, [Told(_A, "0", "NVIDIA A100-SXM4-40GB", 40960, None)]),
    "no driver": Recorded("nvidia-smi", dict.fromkeys(("list", "mig", "gpus", "apps"), _FAILED)
                          | dict.fromkeys(("mig.status", "gpus.status"), "9"), "NVIDIA-SMI has failed because it couldn't communicate"),
    "no cards": Recorded("nvidia-smi", dict.fromkeys(("list", "mig", "gpus", "apps"), "No devices were found\n")
                         | dict.fromkeys(("mig.status", "gpus.status"), "6"), "No devices were found"),
    "driver and library differ": Recorded("nvidia-smi", dict.fromkeys(
        ("list", "mig", "gpus", "apps"), "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.183\n")
        | dict.fromkeys(("mig.status", "gpus.status"), "18"), "Failed to initialize NVML: Driver/library version mismatch"),
    "amd-smi, two of MI300X": Recorded("amd-smi", {
        "static": """{"gpu_data": [
{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X", "vendor_id": "0x1002", "asic_serial": "0xA32343DAF897162A", "oam_id": 7},
 "vram": {"type": "HBM", "vendor": "HYNIX", "size": {"value": 196592, "unit": "MB"}, "bit_width": 8192}},
{"gpu": 1, "asic": {"market_name": "AMD Instinct MI300X", "asic_serial": "0x9246F00000000001"},
 "vram": {"type": "HBM", "size": {"value": 196592, "unit": "MB"}}}]}""",
        "metric": '{"gpu_data": [{"gpu": 0, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}, "used_vram": {"value": 12048, "unit": "MB"}}},'
                  '{"gpu": 1, "mem_usage": {"total_vram": {"value": 196592, "unit": "MB"}, "used_vram": {"value": 285, "unit": "MB"}}}]}',
        "process": '[{"gpu": 0, "process_list": [{"process_info": {"name": "python3", "pid": 4194300, "memory_usage": {"vram_mem": {"value": 65588000, "unit": "B"}}}}]},'
                   '{"gpu": 1, "process_list": [{"process_info": "No running processes detected"}]}]'},
        [Told("GPU-a32343daf897162a", "0", "AMD Instinct MI300X", 196592, 12048, pids=(4194300,)),
         Told("GPU-9246f00000000001", "1", "AMD Instinct MI300X", 196592, 285)]),
    "amd-smi before 6.4": Recorded("amd-smi", {
        "static": '[{"gpu": 0, "asic": {"market_name": "MI210", "asic_serial": "N/A"}, "vram": {"type": "HBM2E", "size": {"value": 65520, "unit": "MB"}}}]',
        "metric": '[{"gpu": 0, "mem_usage": {"total_vram": {"value": 65520, "unit": "MB"}, "used_vram": "N/A"}}]',
        "process": '[{"gpu": 0, "process_list": "N/A"}]'}, [Told("0", "0", "MI210", 65520, None)]),
    "rocm-smi": Recorded("rocm-smi", {
        "rocm": 'WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status\n\n'
                '{"card0": {"Unique ID": "0x9246f00000000002", "VRAM Total Memory (B)": "17163091968", "VRAM Total Used Memory (B)": "692142080",'
                ' "Card Series": "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", "Card Model": "0x73bf"},'
                ' "card1": {"Unique ID": "N/A", "VRAM Total Memory (B)": "67108864", "VRAM Total Used Memory (B)": "26079232", "Card Series": "Raphael"},'
                ' "system": {"PID1": "x, 1, 2"}}\n'},
        [Told("GPU-9246f00000000002", "0", "Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]", 16368, 660), Told("1", "1", "Raphael", 64, 24)]),
    "rocm-smi without a card": Recorded("rocm-smi", {"rocm": "ERROR:root:Driver not initialized (amdgpu not found in modules)\n", "rocm.status": "1"},
                                        "ERROR:root:Driver not initialized"),
}
#: What cannot be.
LIES: Mapping[str, Recorded] = {
    "below zero": Recorded("nvidia-smi", {"mig": f"0, {_A}, X, -5, 0, [N/A]\n"}, "memory.total '-5'"),
    "without end": Recorded("nvidia-smi", {"mig": f"0, {_A}, X, 40960, 1{'0' * 400}, [N/A]\n"}, "memory.used '1000"),
    "one name for two": Recorded("nvidia-smi", {"mig": f"0, {_A}, X, 40960, 0, [N/A]\n1, {_A}, X, 40960, 0, [N/A]\n"}, "two GPUs with one UUID"),
    "no csv": Recorded("nvidia-smi", {"mig": "<html><body>hello</body></html>\n"}, "no line of csv: '<html>"),
    "too few columns": Recorded("nvidia-smi", {"mig": f"0, {_A}\n"}, "no line of csv"),
    "no UUID": Recorded("nvidia-smi", {"mig": "0, ../../x, X, 40960, 0, [N/A]\n"}, "no line of csv"),
    "no number": Recorded("nvidia-smi", {"mig": f"zero, {_A}, X, 40960, 0, [N/A]\n"}, "GPU number 'zero'"),
    "apps that are none": Recorded("nvidia-smi", {"mig": f"0, {_A}, X, 40960, 0, [N/A]\n", "apps": "a, b, c\n"}, "no line of csv: 'a, b, c'"),
    "too many": Recorded("nvidia-smi", {"mig": "".join(f"{n}, {gpu(n)}, X, 40960, 0, [N/A]\n" for n in range(300))}, "300 GPUs"),
    "an AMD card of a negative size": Recorded("amd-smi", {"static": '[{"gpu": 0, "asic": {}, "vram": {"size": {"value": -4, "unit": "MB"}}}]'}, "a size of -4"),
    "an AMD card without end": Recorded("amd-smi", {"static": f'[{{"gpu": 1{"0" * 400}}}]'}, "a number of 401 digits"),
    "a rocm card of a negative size": Recorded("rocm-smi", {"rocm": '{"card0": {"VRAM Total Memory (B)": "-1"}}\n'}, "a size of '-1'"),
}
