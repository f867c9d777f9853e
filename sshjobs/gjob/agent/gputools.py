"""What nvidia-smi, amd-smi and rocm-smi print of GPUs, parsed into units. Their output is checked like all input: one
impossible number, and none of it is believed."""

import re

from ..light import make_loads

MYPY = False
if MYPY:
    from typing import Any

#: What each tool is asked, with a line before and behind each answer.
_RUN = 'run() { w=$1; shift; echo "@@ $w"; "$@" 2>&1; s=$?; echo; echo "@@ end $s"; return $s; }\n'
_NVIDIA = _RUN + (
    'q=index,uuid,name,memory.total,memory.used; f=--format=csv,noheader,nounits\n'
    'l=$("$1" -L 2>&1 | head -c 65536); echo "@@ list"; printf "%s\\n" "$l"; echo "@@ end 0"\n'
    'run gpus "$1" --query-gpu=$q,mig.mode.current $f || run gpus "$1" --query-gpu=$q $f\n'
    'run apps "$1" --query-compute-apps=gpu_uuid,pid $f\n'
    'case $l in *"UUID: MIG-"*) run table "$1";; esac\n')
_AMD = _RUN + (
    'run static "$1" static --asic --vram --json\nrun metric "$1" metric --mem-usage --json\n'
    'run process "$1" process --json\n')
_ROCM = _RUN + 'run rocm "$1" --showuniqueid --showproductname --showmeminfo vram --json\n'
SCRIPTS = {"nvidia-smi": _NVIDIA, "amd-smi": _AMD, "rocm-smi": _ROCM}
#: The most GPUs that are believed, the most memory of one in MiB, and the longest name.
MOST, _MOST_MIB, _NAME = 256, 1 << 24, 100
_MIB = 1 << 20
#: Printed in place of a number that driver or card do not tell; no sign of trouble.
_OPEN = ("[n/a]", "n/a", "[not supported]", "[insufficient permissions]", "[unknown]", "")
#: A line of nvidia-smi that is a message and no row.
_REMARK = re.compile("unable to|error|warning|lost", re.IGNORECASE)
_UUID = re.compile(r"GPU-[A-Za-z0-9-]{1,90}$")
_LISTED = re.compile(r"GPU (\d{1,3}): (.{1,200}) \(UUID: (GPU-[A-Za-z0-9-]{1,90})\)$")
_INSTANCE = re.compile(r"\s+MIG (\S{1,40})\s+Device\s+(\d{1,2}): \(UUID: (MIG-[A-Za-z0-9/-]{1,90})\)$")
#: Rows of nvidia-smi's table: an instance with its memory, a process.
_DEVICE = re.compile(r"\|\s+(\d{1,3})\s+(\S{1,4})\s+(\S{1,4})\s+(\d{1,2})\s*\|\s*(\d{1,9})MiB\s*/\s*(\d{1,9})MiB\s*\|")
_PROCESS = re.compile(r"\|\s+(\d{1,3})\s+(\d{1,4})\s+(\d{1,4})\s+(\d{1,9})\s+[CGM+]{1,3}\s")
_HEX = re.compile(r"0x([0-9a-fA-F]{1,16})$")


class Lie(ValueError):
    """A tool printed something impossible."""


def _short_int(digits: str) -> int:
    if len(digits) > 19:
        raise Lie("a number of %d digits" % len(digits))
    return int(digits)


def _no_constant(word: str) -> "Any":
    raise Lie("%s is not a number" % word)


_loads = make_loads(_short_int, _no_constant)


class Unit:
    """One GPU, or one instance of one.

    :ivar memory: bytes, ``used`` of them in use; None where that is not told
    :ivar pids: processes on it
    :ivar trouble: why it cannot be used
    :ivar parent: UUID of the GPU that it is an instance of
    :ivar held: another run has it for a job, and nobody else is on it: it can be waited for as slots are
    """

    def __init__(self, uuid: str, label: str, name: str, memory: "int | None", used: "int | None", whole: bool = True,
                 trouble: "str | None" = None):
        self.uuid, self.label, self.name = uuid, label, name[:_NAME]
        self.memory, self.used, self.whole, self.trouble = memory, used, whole, trouble
        self.pids: "list[int]" = []
        self.parent: "str | None" = None
        self.held = False


def sections(text: str) -> "dict[str, tuple[list[str], int]]":
    """Return what each question was answered: lines, and the exit status. Of two with one name the last counts."""
    found: "dict[str, tuple[list[str], int]]" = {}
    name, lines = "", []  # type: str, list[str]
    for line in text.splitlines():
        if line.startswith("@@ end "):
            found[name] = lines, int(line[7:]) if line[7:].isdigit() and len(line) < 11 else 1
            name, lines = "", []
        elif line.startswith("@@ "):
            name, lines = line[3:], []
        elif line.strip():
            lines.append(line)
    return found


def units_of(tool: str, text: str) -> "tuple[list[Unit], str | None]":
    """Return the GPUs that a tool has told of, and what was wrong where it told of none, in a line.

    :raises Lie: what it says cannot be
    """
    told = sections(text)
    units, trouble = _BY_TOOL[tool](told)
    if len(units) > MOST:
        raise Lie("%d GPUs" % len(units))
    if len({unit.uuid for unit in units}) < len(units):
        raise Lie("two GPUs with one UUID")
    return units, trouble


# -- nvidia-smi ----------------------------------------------------------------------------------------------------


def _nvidia(told: "dict[str, tuple[list[str], int]]") -> "tuple[list[Unit], str | None]":
    lines, status = told.get("gpus", ([], 1))
    units, other, in_instances = [], [], set()
    for line in lines:
        words = [word.strip() for word in line.split(",")]
        if len(words) in (5, 6) and _UUID.match(words[1]):
            units.append(_row(words))
            if len(words) == 6 and words[5].lower() == "enabled":
                in_instances.add(units[-1].label)
        elif status == 0 and not _REMARK.search(line):
            raise Lie("no line of csv: %.60r" % line)
        else:
            other.append(line.strip())
    if not units:
        said = other or told.get("list", ([], 0))[0]
        return [], (said[0].strip() if said else "it says nothing")
    _put_on(units, told.get("apps", ([], 1)))
    instances = _instances(told, in_instances)
    # What is cut into instances can be used by these alone.
    units = [unit for unit in units if unit.label not in in_instances] + instances
    return sorted(units, key=_place), (other[0] if other and not units else None)


def _place(unit: Unit) -> "tuple[int, int]":
    index, _, device = unit.label.partition(":")
    return int(index), int(device or 0)


def _row(words: "list[str]") -> Unit:
    if not (words[0].isdigit() and len(words[0]) < 4):
        raise Lie("GPU number %.40r" % words[0])
    trouble, numbers = None, []  # type: str | None, list[int | None]
    for what, word in (("memory.total", words[3]), ("memory.used", words[4])):
        if word.isdigit() and len(word) < 10 and int(word) <= _MOST_MIB:
            numbers.append(int(word) * _MIB)
        elif word.lower() in _OPEN:
            numbers.append(None)
        elif word.startswith("[") and word.endswith("]") or word in ("ERR!", "Unknown Error", "GPU is lost"):
            # [GPU requires reset], [Unknown Error], [GPU is lost]
            trouble = word.strip("[]")[:_NAME]
            numbers.append(None)
        else:
            raise Lie("%s %.40r" % (what, word))
    return Unit(words[1], words[0], words[2], numbers[0], numbers[1], trouble=trouble)


def _put_on(units: "list[Unit]", answer: "tuple[list[str], int]") -> None:
    """Note which processes are on which GPU."""
    lines, status = answer
    by_uuid = {unit.uuid: unit for unit in units}
    for line in lines:
        words = [word.strip() for word in line.split(",")]
        if len(words) == 2 and words[0] in by_uuid and words[1].isdigit() and len(words[1]) < 10:
            by_uuid[words[0]].pids.append(int(words[1]))
        elif status == 0 and len(words) != 2 and not line.strip().startswith("[") and "o running" not in line:
            raise Lie("no line of csv: %.60r" % line)


def _instances(told: "dict[str, tuple[list[str], int]]", parents: "set[str]") -> "list[Unit]":
    """Return the instances of all GPUs that are cut into some, which are added to ``parents``."""
    units, index, parent = [], "", ""
    memory: "dict[str, tuple[int, int]]" = {}
    pids: "dict[str, list[int]]" = {}
    labels: "dict[tuple[str, str, str], str]" = {}
    for line in told.get("table", ([], 0))[0]:
        device = _DEVICE.match(line.strip())
        if device is not None:
            label = "%s:%s" % (device.group(1), device.group(4))
            labels[device.group(1), device.group(2), device.group(3)] = label
            memory[label] = int(device.group(6)) * _MIB, int(device.group(5)) * _MIB
            continue
        process = _PROCESS.match(line.strip())
        if process is not None:
            pids.setdefault(labels.get((process.group(1), process.group(2), process.group(3)), ""), []).append(
                int(process.group(4)))
    for line in told.get("list", ([], 0))[0]:
        whole, instance = _LISTED.match(line.rstrip()), _INSTANCE.match(line.rstrip())
        if whole is not None:
            index, parent = whole.group(1), whole.group(3)
        elif instance is not None and index:
            label = "%s:%s" % (index, instance.group(2))
            total, used = memory.get(label, (None, None))
            units.append(Unit(instance.group(3), label, "MIG " + instance.group(1), total, used, whole=False))
            units[-1].pids, units[-1].parent = pids.get(label, []), parent
            parents.add(index)
    return units


# -- AMD -----------------------------------------------------------------------------------------------------------


def _amd(told: "dict[str, tuple[list[str], int]]") -> "tuple[list[Unit], str | None]":
    static = _json(told.get("static"))
    if static is None:
        lines = told.get("static", ([], 1))[0]
        return [], (lines[0].strip() if lines else "it says nothing")
    used = {item.get("gpu"): item.get("mem_usage") for item in _json(told.get("metric")) or []}
    units = []
    for item in static:
        number, asic, vram = item.get("gpu"), _object(item.get("asic")), _object(item.get("vram"))
        if type(number) is not int or not 0 <= number < 1000:
            raise Lie("GPU number %.40r" % (number,))
        name = str(asic.get("market_name") or "AMD GPU")
        units.append(Unit(_amd_uuid(asic.get("asic_serial"), number), str(number), name,
                          _amount(vram.get("size")), _amount(_object(used.get(number)).get("used_vram"))))
    by_number = {unit.label: unit for unit in units}
    for item in _json(told.get("process")) or []:
        unit = by_number.get(str(item.get("gpu")))
        listed = item.get("process_list")
        for one in listed if type(listed) is list else ():
            pid = _object(_object(one).get("process_info")).get("pid")
            if unit is not None and type(pid) is int and 0 < pid < 1 << 31:
                unit.pids.append(pid)
    return units, None


def _rocm(told: "dict[str, tuple[list[str], int]]") -> "tuple[list[Unit], str | None]":
    lines = told.get("rocm", ([], 1))[0]
    # Warnings may stand before it.
    text = "\n".join(line for line in lines if line.lstrip()[:1] in "{}\"" or line.lstrip().startswith('"'))
    try:
        cards = _loads(text)
    except Lie:
        raise
    except (ValueError, RecursionError):
        cards = None
    if type(cards) is not dict:
        return [], (lines[0].strip() if lines else "it says nothing")
    units = []
    for name in sorted(cards, key=lambda one: (len(one), one)):
        card = _object(cards[name])
        number = name[4:]
        if not (name.startswith("card") and number.isdigit() and len(number) < 4):
            continue
        # rocm-smi lists processors with built-in graphics, too.
        model = str(card.get("Card Series") or card.get("Card series") or card.get("Device Name") or "AMD GPU")
        units.append(Unit(_amd_uuid(card.get("Unique ID"), int(number)), number, model,
                          _bytes(card.get("VRAM Total Memory (B)")), _bytes(card.get("VRAM Total Used Memory (B)"))))
    return units, None


def _amd_uuid(serial: "Any", number: int) -> str:
    """Return what ROCR_VISIBLE_DEVICES takes: a card without a serial number goes by its place."""
    match = _HEX.match(serial) if type(serial) is str else None
    if match is None or not int(match.group(1), 16):
        return str(number)
    return "GPU-%s" % match.group(1).lower().rjust(16, "0")


def _json(answer: "tuple[list[str], int] | None") -> "list[dict[str, Any]] | None":
    try:
        found = _loads("\n".join(answer[0])) if answer is not None else None
    except Lie:
        raise
    except (ValueError, RecursionError):
        return None
    if type(found) is dict:
        found = found.get("gpu_data")
    return [item for item in found if type(item) is dict] if type(found) is list else None


def _object(value: "Any") -> "dict[str, Any]":
    return value if type(value) is dict else {}


def _amount(value: "Any") -> "int | None":
    """Return bytes of amd-smi's ``{"value": 196592, "unit": "MB"}``."""
    size, unit = _object(value).get("value"), _object(value).get("unit")
    if type(size) is not int:
        return None
    if not 0 <= size <= _MOST_MIB:
        raise Lie("a size of %.40r" % (size,))
    return size * {"GB": 1024, "MB": 1}.get(unit if type(unit) is str else "MB", 1) * _MIB


def _bytes(word: "Any") -> "int | None":
    if type(word) is not str or not word.lstrip("-").isdigit():
        return None
    if word.startswith("-") or len(word) > 15:
        raise Lie("a size of %.40r" % word)
    return int(word)


_BY_TOOL = {"nvidia-smi": _nvidia, "amd-smi": _amd, "rocm-smi": _rocm}
