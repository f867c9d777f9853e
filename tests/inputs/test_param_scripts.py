"""A value of a parameter is one word wherever it stands in a script, and never becomes part of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sshjobs.errors import UsageError
from sshjobs.inputs.paramscript import with_variables
from sshjobs.model.fill import filled
from sshjobs.model.params import variables
from tests.cli.test_exec_quoting import ATTACK, LINES, NOT_WORKED_OUT, VALUES, WORKED_OUT

PLACE = "${{ it }}"
#: What a line of a command has not.
SCRIPTS = [
    ["cat <<EOF", "x", 'it\'s "|{}|"', "EOF"], ["cat <<-EOF", "\t|{}|", "\tEOF", "printf '|%s|' {}"],
    ["cat <<A; cat << \"B C\"", "|{}|", "A", "$none ' `", "B C"], ["x=$(cat <<EOF", "|{}|", "EOF", ')', 'printf %s "$x"'],
    ["cat <<'EOF' >/dev/null", "it's {", "EOF", "# it's", 'printf "|%s|" {}'], ['printf "|%s|" \\', "{}"],
    ["cat <<EOF", "$(printf '|%s|' {}) \\$x", "EOF"], ["if true; then", '  printf "|%s|" {}', "fi"],
]


def printed(lines: list[str], value: str, where: Path) -> bytes:
    told = subprocess.run(["bash", "-e", "-o", "pipefail", "/dev/stdin"], cwd=where, capture_output=True, timeout=30,
                          input="".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"), check=False,
                          env={"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C.UTF-8", **variables({"it": value})})
    assert b"syntax" not in told.stderr and b"not found" not in told.stderr, (lines, told.stderr)
    assert list(where.iterdir()) == [], lines
    return told.stdout


@pytest.mark.parametrize("lines", [*([line] for line in LINES), *SCRIPTS], ids="\n".join)
def test_a_value_arrives_as_it_is_however_its_place_is_quoted(lines: list[str], tmp_path: Path) -> None:
    script = with_variables([line.replace("{}", PLACE) for line in lines])
    assert len(script.lines) == len(lines) and not script.raw and not script.numbers
    for value in [value for value in VALUES if value.isprintable()][::3] or VALUES[:1]:
        assert b"|" + value.encode() + b"|" in printed(script.lines, value, tmp_path), (lines, value)


@pytest.mark.parametrize("text", WORKED_OUT)
def test_wherever_bash_does_arithmetic_whole_numbers_are_asked_for(text: str) -> None:
    assert with_variables([text.replace("{}", PLACE)]).numbers == {"it"}


@pytest.mark.parametrize("text", NOT_WORKED_OUT)
def test_elsewhere_they_are_not_and_nothing_is_obeyed(text: str, tmp_path: Path) -> None:
    script = with_variables([text.replace("{}", PLACE)])
    assert not script.numbers
    printed(script.lines, ATTACK, tmp_path)


def test_raw_placeholders_stay_in_the_script_and_what_is_not_raw_is_no_part_of_it() -> None:
    script = with_variables(["run ${{ raw:flags }} ${{ it }} '$${{ it }}' # ${{ it }}"])
    assert script.raw
    assert filled(script.lines, {"flags": "-a -b", "it": "x;y"}) == [
        """run -a -b "${SSHJOBS_PARAM_it}" '${{ it }}' # ${{ it }}"""]


def test_a_dollar_more_makes_text_of_a_placeholder() -> None:
    assert with_variables(["echo '$${{ it }}' $$ ${{ it }}"]).lines == [
        """echo '${{ it }}' $$ "${SSHJOBS_PARAM_it}\""""]


@pytest.mark.parametrize(("text", "complaint"), [
    ("echo ${x:-${{ it }}}", "${{ it }} cannot stand in ${…}; put it into a variable first: value=${{ it }}"),
    ("cat <<'EOF'\n${{ it }}\nEOF", "${{ it }} cannot stand in a here-document whose end is quoted: nothing is put into "
                                    "it; write <<EOF without quotes"),
    ("echo ${{ it", "'${{ it' is not closed; write ${{ NAME }}, or $${{ for the text ${{"),
    ("echo ${{ a + b }}", "'${{ a + b }}' does not hold the name of a parameter; write ${{ NAME }}, or $${{ for the "
                          "text ${{"),
])
def test_where_no_value_can_stand_that_is_said(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        with_variables([text])
    assert str(error.value) == complaint
