"""Programs whose code goes on where fchown is refused, and those whose code does not."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from capadvise.linux.kernel import elf, goes_on, linked
from tests.support.runs import Run

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="reads code of x86-64 alone")

HEAD = r"""
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
int failures, done;
__attribute__((noinline)) void note(int level, const char *text, ...) {
    va_list rest; va_start(rest, text); vfprintf(stderr, text, rest); va_end(rest);
    if (level > 9) exit(1);
}
__attribute__((noinline)) void ends(const char *text) { note(1, text); exit(1); }
__attribute__((noinline)) void works(int fd) { done += write(fd, "x", 1); }
"""
FUNCTION = """
__attribute__((noinline)) int gives_%d(int fd) {
    int ok = 1;
    %s
    works(fd);
    if (done > 3) note(2, "much: %%d, %%d", done, failures);
    lseek(fd, 0, SEEK_SET);
    return ok - 1 + failures;
}
"""
MAIN = """
int main(int argc, char **argv) {
    int fd = open(argv[1], O_CREAT | O_WRONLY, 0644);
    if (fd < 0 || gives_0(fd)) return 1;
    if (setgroups(0, 0) || setgid(65534) || setuid(65534)) return 1;
    return done != 1;
}
"""
GIVES = "fchown(fd, 65534, 65534)"
GOES_ON = [
    f"(void)!{GIVES};",
    f'if ({GIVES} < 0) fprintf(stderr, "refused: %s\\n", strerror(errno));',
    f'if ({GIVES} == -1) syslog(LOG_WARNING, "%m");',
    f'if ({GIVES}) note(3, "refused: %s", strerror(errno));',
    f"if ({GIVES} && errno != EPERM) exit(1);",
    f'if ({GIVES}) {{ if (errno == EPERM) note(1, "no"); else ends("other"); }}',
    f'if ({GIVES}) note(1, "a"); if ({GIVES}) note(1, "b");',
]
DOES_NOT = [
    f"if ({GIVES}) exit(1);",
    f'if ({GIVES}) ends("refused");',
    f'if ({GIVES}) {{ note(1, "refused"); return -1; }}',
    f"if ({GIVES}) ok = 0;",
    f'if ({GIVES}) {{ note(1, "refused"); failures++; }}',
    f"failures = {GIVES};",
    f"if (!{GIVES}) works(fd);",
    f"if (!{GIVES}) done = 0;",
    f'if ({GIVES} && errno == EPERM) ends("EPERM");',
    f'note({GIVES}, "told");',
    f"while ({GIVES}) sleep(1);",
    f'if ({GIVES}) execl("/bin/false", "false", NULL);',
]


def built(folder: Path, *bodies: str, options: Sequence[str] = ()) -> Path:
    """A program with a function for each."""
    folder.chmod(0o755)
    program = folder / "program"
    functions = [FUNCTION % (number, body) for number, body in enumerate(bodies)]
    text = "".join([HEAD, *functions, MAIN])
    # unused functions, each in its place
    words = ["gcc", "-w", "-O2", "-fno-toplevel-reorder", "-x", "c", "-", "-o", str(program)]
    subprocess.run([*words, *options], input=text, text=True, check=True)
    return program


def going_on(program: Path) -> list[bool]:
    """Of each call of fchown, in their order."""
    with opened(program) as handle:
        assert linked.alone_calls(handle, "/", "fchown")
        code = elf.program(handle)
    assert code is not None
    return [goes_on.goes_on(code, [place]) for place in sorted(code.returns_of("fchown"))]


@contextmanager
def opened(program: Path) -> Iterator[int]:
    handle = os.open(program, os.O_PATH)
    yield handle
    os.close(handle)


def test_code_that_goes_on(tmp_path: Path) -> None:
    answers = going_on(built(tmp_path, *GOES_ON))
    assert answers == [True] * (len(GOES_ON) + 1)  # one of them calls it twice


def test_code_that_does_not_go_on(tmp_path: Path) -> None:
    answers = zip(DOES_NOT, going_on(built(tmp_path, *DOES_NOT)), strict=True)
    assert [body for body, goes in answers if goes] == []


@pytest.mark.parametrize(
    "body",
    [
        "int (*volatile call)(int, uid_t, gid_t) = fchown; (void)!call(fd, 1, 1);",
        f"return {GIVES};",  # jumps there
    ],
)
def test_calls_that_are_not_seen_count_as_not_going_on(tmp_path: Path, body: str) -> None:
    assert going_on(built(tmp_path, body, GOES_ON[0])) == []


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (GOES_ON[1], {"SETUID", "SETGID"}),
        (DOES_NOT[2], {"CHOWN", "SETUID", "SETGID"}),
    ],
)
def test_a_daemon_that_goes_on_does_without(
    run: Run, tmp_path: Path, body: str, wanted: set[str]
) -> None:
    program = built(tmp_path, body)
    result = run(str(program), str(tmp_path / "log"))
    assert result.code == 0
    assert result.recommended == wanted
    need = result.need("CHOWN")
    assert need is not None
    assert str(need["uncertain"]).startswith("likely optional") is ("CHOWN" not in wanted)
    without = shlex.join(
        ["setpriv", "--bounding-set=-chown", str(program), str(tmp_path / "other")]
    )
    assert subprocess.run(["sh", "-c", without]).returncode == ("CHOWN" in wanted)


def test_a_library_that_calls_it_too_says_nothing_of_the_program(tmp_path: Path) -> None:
    text = "int fchown(); int others(int fd) { return fchown(fd, 1, 1); }"
    library = str(tmp_path / "libothers.so")
    words = ["gcc", "-w", "-shared", "-fPIC", "-x", "c", "-", "-o", library]
    subprocess.run(words, input=text, text=True, check=True)
    options = ("-x", "none", "-Wl,--no-as-needed", library)
    with opened(built(tmp_path, GOES_ON[0], options=options)) as handle:
        assert not linked.alone_calls(handle, "/", "fchown")
