"""No shell ever parses a value: not where a placeholder stands in a line, however it is quoted there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sshjobs.errors import UsageError
from sshjobs.inputs.commandline import Line, Words
from sshjobs.model.spec import JobSpec

#: Values that do something as soon as a shell reads them as anything but text.
VALUES = [
    "it's", 'say "hi"', "$HOME ${PATH} $(touch OWNED) `touch OWNED`", "two  spaces\tand tab", "new\nline",
    "back\\slash \\n", "*", "? [a-z] {1,2} ~", "; touch OWNED & | < > ( ) !", "-n", "--", "#no", "'", "\\", "a=b", "if",
    "2", '");touch OWNED;("', "');touch OWNED;('", "~", "Grüße", "\udcff\udc80", "%s %d", "}", "${", "$((", "A",
]
#: Lines that print the value somewhere in ``|…|``.
LINES = [
    'printf "|%s|" {}',
    'printf "|%s|" "{}"',
    "printf '|%s|' '{}'",
    "printf '|%s|' $'{}'",
    "printf '|'{}'|'| sed 's/%%/%/g' >&2; printf '|%s|' {}",
    'printf "|%s|" {} >&2; printf "|%s|" {} 2>&1',
    'x={}; printf "|%s|" "$x"',
    'v=x; printf "%s" "$v|{}|" $v{}',
    'printf "%s" a"|{}|"\'b{}c\'',
    'for i in {}; do printf "|%s|" "$i"; done',
    '(printf "|%s|" {})',
    '{ printf "|%s|" {}; }',
    'f() { printf "|%s|" {}; }; f other',
    'printf "|%s|" "$(printf %s "{}"; echo .)" "|{}|"',
    'printf "%s" "`printf "|%s|" {}`"',
    'printf "%s" "`printf "|%s|" "{}"`"',
    'case {} in *) printf "|%s|" {};; esac',
    'printf "%s" "$( case x in (x) printf "|%s|" {};; esac )"',
    'printf "%s" "$( case x in x) printf "|%s|" {};; esac )"',
    'printf "|%s|" {} # it\'s {} (\nprintf "|%s|" {}',
    'printf "|%s|" "${HOME:+"it\'s }"}" {} ${HOME#*\'}\'}',
    'echo $((1 + (2))) $$; printf "|%s|" {}',
    'test {} = x || printf "|%s|" {} && (exit 3)',
    'tr a-z a-z <<< "|"{}"|"',
]


def printed(script: str, where: Path) -> bytes:
    """Return what bash prints for a script, and make sure that it did nothing else."""
    told = subprocess.run(["bash", "-c", "exec bash /dev/stdin"], input=script.encode("utf-8", "surrogateescape"),
                          cwd=where, capture_output=True, timeout=30, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C.UTF-8"})
    assert b"syntax" not in told.stderr and b"not found" not in told.stderr, (script, told.stderr)
    assert list(where.iterdir()) == [], script
    return told.stdout


def script_of(line: Line, *values: str, number: int = 1) -> str:
    """Return the script of a job."""
    spec = JobSpec("placeholder")
    line.fill(spec, values, number)
    return "\n".join(spec.cmds)


@pytest.mark.parametrize("text", LINES)
def test_a_value_arrives_as_it_is_however_its_place_is_quoted(text: str, tmp_path: Path) -> None:
    line = Line(text, 1)
    # One shell for all: scripts are independent but for their variables.
    run = printed("\n".join(f"{script_of(line, value)}\nprintf '\\0'" for value in VALUES), tmp_path).split(b"\0")
    shown = printed("\n".join(f"{line.shown([value], 1)}\nprintf '\\0'" for value in VALUES), tmp_path).split(b"\0")
    for value, out in zip(VALUES, run, strict=False):
        assert b"|" + value.encode("utf-8", "surrogateescape") + b"|" in out, (text, value, out)
    if "$$" not in text:
        assert run == shown, "what --dry-run shows does something else"


def test_several_values_are_as_many_words_or_one_text() -> None:
    line = Line("""f {} "{}" '{}' {2}{1}""", 2)
    assert line.shown(["a b", "c"], 1) == """f 'a b' c "a b c" 'a b c' c'a b'"""


def test_a_command_without_placeholders_gets_its_values_at_its_end(tmp_path: Path) -> None:
    assert printed(script_of(Line('printf "<%s>"', 2), "a b", "$(touch OWNED)"), tmp_path) == b"<a b><$(touch OWNED)>"
    assert Words(["echo"], 2).shown(["a b", "c"], 1) == "echo 'a b' c"


def test_numbers_of_jobs_and_slots_are_placeholders_too(tmp_path: Path) -> None:
    line = Line('echo {#} "$((10 * {#}))" {%}', 1)
    assert line.shown(["ignored"], 7) == 'echo 7 "$((10 * 7))" "${SSHJOBS_SLOT}"'
    assert printed("SSHJOBS_SLOT=3\n" + script_of(line, "ignored", number=7), tmp_path) == b"7 70 3\n"


@pytest.mark.parametrize("value", ["a[$(touch OWNED)]", "HOME", "1+1", "", " 1", "0x10", "1" * 20])
@pytest.mark.parametrize("text", ["echo $(({} + 1))", "((x = {} * (2 + {}))); echo $x", 'echo "$(( ({}) ))"'])
def test_between_arithmetic_parentheses_only_numbers_are_taken(text: str, value: str, tmp_path: Path) -> None:
    line = Line(text, 1)
    assert printed(script_of(line, "-4"), tmp_path) != b""
    with pytest.raises(UsageError, match="only a whole number"):
        script_of(line, value)


#: Lines in which bash works out the value, by whatever way.
WORKED_OUT = """[[ {} -eq 1 ]]
[[ x == y || 1 -gt {} ]]
if [[ 1 == 1 && ( {} -lt 3 ) ]]; then echo; fi
while [[ $(echo 1) -eq {} ]]; do break; done
[[ -v {} ]]
[ -v {} ]
test -v "{}"
let x={}
let "x = {} + 1"
declare -i x={}
declare -i x; x={}
typeset -i x; x='{}'
f() { local -i x={}; }; f
x[{}]=1
x=([{}]=1)
unset 'x[{}]'
unset {}
printf -v {} x
read {} <<< x
echo $[{}+1]
x={}; echo $((x+1))
x={}; (( x > 1 ))
x={}; y=$x; [[ y -gt 1 ]]
a=(1 2); x={}; echo ${a[x]}
x=abc; y={}; echo ${x:y:1}
x={}; echo ${!x}
read x <<< {}; echo $((x))
for i in {}; do echo $((i+1)); done
set -- {}; echo $(( $1 ))
f() { echo $(($1)); }; f {}
echo "$(let x={})"
declare {}=x""".splitlines() + [
    "while read x; do echo $((x)); done <<< {}", "while read x; do echo $((x)); done <<EOF\n{}\nEOF",
    "# don't\nx={}; (( x > 1 ))", "cat <<EOF\ndon't\nEOF\nx={}; (( x > 1 ))", "cat <<EOF\n$(({} + 1))\nEOF",
]
#: Lines that look like it and do not.
NOT_WORKED_OUT = """[ {} -eq 1 ]
[[ {} == 1 ]]
[[ {} == x && 1 -eq 1 ]]
f={}; n=$((1+1)); echo "$f$n"
declare -A m; m[{}]=1
read x <<< {}; echo "$x"
export A={}; echo "$A"
declare x={}
printf "%d" {}
echo "let {} go"
echo [[ {} -eq 1 ]]
x={}; echo ${x:-1}
unset -v x; echo {}""".splitlines() + ["cat <<EOF\nlet x={}\nEOF", "cat <<-EOF >/dev/null\n\t{}\n\tEOF\n(( 1 ))"]
ATTACK = "a[$(touch OWNED)]"


@pytest.mark.parametrize("text", WORKED_OUT)
def test_wherever_a_shell_does_arithmetic_only_numbers_are_taken(text: str, tmp_path: Path) -> None:
    # It is worth the trouble: written out by hand, the value is obeyed.
    plain = text.replace("'{}'", "{}").replace('"{}"', "{}").replace("{}", f"'{ATTACK}'")
    inner = text.replace("{}", ATTACK)
    for script in (plain, inner):
        subprocess.run(["bash", "-c", "exec bash /dev/stdin"], input=script, cwd=tmp_path, capture_output=True, text=True,
                       timeout=30, check=False, env={"PATH": os.environ["PATH"]})
    assert (tmp_path / "OWNED").exists(), text
    line = Line(text, 1)
    script_of(line, "7")
    with pytest.raises(UsageError, match="where the shell does arithmetic only a whole number can stand"):
        script_of(line, ATTACK)


@pytest.mark.parametrize("text", NOT_WORKED_OUT)
def test_what_only_looks_like_arithmetic_takes_any_value(text: str, tmp_path: Path) -> None:
    subprocess.run(["bash", "-c", "exec bash /dev/stdin"], input=script_of(Line(text, 1), ATTACK), cwd=tmp_path,
                   capture_output=True, text=True, timeout=30, check=False, env={"PATH": os.environ["PATH"]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "complaint"), [
    ("echo ${x:-{}}", r"{} cannot stand in ${…}; put it into a variable first: value={}"),
    ('echo "${x:-\'{}\'}"', r"{} cannot stand in ${…}; put it into a variable first: value={}"),
    ('echo "${x:-"{1}"}"', r"{1} cannot stand in ${…}; put it into a variable first: value={1}"),
    ("cat <<'EOF'\n{}\nEOF", "{} cannot stand in a here-document whose end is quoted: nothing is put into it; write <<EOF without quotes"),
    ("cat <<-'E F'; cat <<X\n\tE F\n{}\nX\ncat <<'Y'\n{}\nY", "{} cannot stand in a here-document whose end is quoted: nothing is put into it; write <<Y without quotes"),
    ("echo {2}", r"{2} asks for value 2, and a job has 1 value; add a source, or write \{2} for the text itself"),
    ("echo {3/.}", r"{3/.} asks for value 3, and a job has 1 value; add a source, or write \{3/.} for the text itself"),
    ("echo {0}", "{0} asks for value 0; values count from 1"),
    ("echo 'a", "the command ends within quotes or a comment, so no value can follow it; write {} where values go"),
    ("echo # a", "the command ends within quotes or a comment, so no value can follow it; write {} where values go"),
])
def test_where_no_value_can_stand_that_is_said(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        Line(text, 1)
    assert str(error.value) == complaint


@pytest.mark.parametrize(("text", "plain"), [
    ("printf %s \\{}{1}", b"{}v"), ('printf %s "\\{}{1}"', b"{}v"), ("printf %s '\\{2}{1}'", b"{2}v"),
    ("printf %s $'\\{}{1}'", b"{}v"), ("printf %s {}${1}${#}", b"v0"), ("set x y; printf %s {}$1${2}", b"vxy"),
    ("printf '{a,b}{x}{1}'", b"{a,b}{x}v"),
])
def test_a_backslash_makes_a_placeholder_plain_text(text: str, plain: bytes, tmp_path: Path) -> None:
    assert printed(script_of(Line(text, 1), "v"), tmp_path) == plain


def test_words_are_never_a_line(tmp_path: Path) -> None:
    for value in VALUES:
        spec = JobSpec("placeholder")
        Words(["printf", "|%s|%s|", "{}", "x{}\\{}${1}"], 1).fill(spec, [value], 1)
        assert spec.argv == ["printf", "|%s|%s|", value, f"x{value}{{}}${{1}}"]
        assert not spec.cmds


@pytest.mark.parametrize(("value", "parts"), [
    ("a/b.tar.gz", "a/b.tar b.tar.gz a b.tar"), ("b", "b b . b"), ("/b", "/b b / b"), ("a.d/b", "a.d/b b a.d b"),
    ("dir/", "dir/  . "), (".rc", " .rc . "), ("/", "/  / "), ("", "  . "), ("a//b.c", "a//b b.c a b"),
])
def test_parts_of_a_path_are_those_of_gnu_parallel(value: str, parts: str) -> None:
    words = Words(["{.} {/} {//} {/.}"], 1)
    spec = JobSpec("placeholder")
    words.fill(spec, [value], 1)
    assert spec.argv == [parts]
    second = JobSpec("placeholder")
    Words(["{2.} {2/} {2//} {2/.}"], 2).fill(second, ["first", value], 1)
    assert second.argv == [parts]
