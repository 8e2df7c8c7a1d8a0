"""The baselines in limits.toml: what they were recorded on, how counts compare with them, how they are recorded."""

import pathlib
import platform
import re
import subprocess
import tomllib

import callgrind
from harness import Failure

FILE = pathlib.Path(__file__).resolve().parent / "limits.toml"
TOLERANCE = 0.03  # more than so much over what was recorded fails; less than so much below it is to be recorded
MACHINE = "machine"


def machine():
    """What counts depend on besides the code: the compiler, and which of its paths a library takes under valgrind."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    avx2 = "with" if flags and "avx2" in flags[1].split() else "without"
    return f"{rustc}, {platform.machine()} {avx2} AVX2, {' '.join(platform.libc_ver())}, valgrind {callgrind.version()}"


def recorded():
    """The file as it is: the machine, and the rules by the name of what is counted."""
    rules = tomllib.loads(FILE.read_text())
    return rules.pop(MACHINE, None), rules


def compare(values, everything):
    """Prints all values beside their baselines; answers the names of those that fail.

    They are over the limit, are not recorded, or, when everything was counted, are recorded and were not counted.
    """
    _, rules = recorded()
    failed, lower = sorted(rules.keys() - values.keys()) if everything else [], []
    print(f"\n{'':32}{'now':>10}{'recorded':>10}{'change':>9}{'goal':>8}")
    for name, now in values.items():
        rule = rules.get(name, {})
        was, goal = rule.get("measured"), rule.get("goal")
        change = f"{100 * (now / was - 1):+8.1f}%" if was else ""
        verdict = ""
        if was is None or now > was * (1 + TOLERANCE):
            verdict = "NOT RECORDED" if was is None else f"OVER its limit of {was * (1 + TOLERANCE):.1f}"
            failed.append(name)
        elif now < was * (1 - TOLERANCE):
            verdict = "better: to be recorded"
            lower.append(name)
        if goal and now > goal:
            verdict += f"{', ' if verdict else ''}over its goal"
        print(f"{name:32}{now:10.1f}{was or '':>10}{change:>9}{goal or '':>8}  {verdict}".rstrip())
    for name in rules.keys() - values.keys() if everything else ():
        print(f"{name:32}{'':10}{rules[name]['measured']:>10}{'':17}  NOT COUNTED any more")
    if lower:
        print(f"\nbetter by more than {TOLERANCE:.0%}: {', '.join(lower)}; keep that with --record")
    return failed


def record(values, everything):
    """Writes what was measured into the file; what else is in it stays. Baselines of two machines do not mix."""
    was, rules = recorded()
    here = machine()
    if was != here and not everything:
        raise Failure(f"recorded on: {was}\nthis is:     {here}\nA new machine is recorded with all: run.py all --record")
    text = re.sub(rf'^{MACHINE} = ".*"$', f'{MACHINE} = "{here}"', FILE.read_text(), flags=re.M)
    for name, now in values.items():
        now = f"{now:.1f}".removesuffix(".0")
        if name in rules:
            table = rf'(^\["{re.escape(name)}"\].*\n(?:(?!\[).*\n)*?measured = )\S+'
            text, found = re.subn(table, rf"\g<1>{now}", text, flags=re.M)
            if not found:
                raise Failure(f"{FILE.name}: [{name}] is not written as a table with a line 'measured = …'")
        else:
            text += f'\n["{name}"]\nmeasured = {now}\n'
    FILE.write_text(text)
