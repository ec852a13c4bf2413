"""The programs that read pointers: the kernel's own verifier is asked in tests/kernel."""

from __future__ import annotations

import struct

from capadvise.linux.ftrace.bpf_probe import begin, only_if, push


def test_a_program_is_made_of_whole_instructions() -> None:
    code = b"".join([*begin(16), *only_if(16, 8, (1, 2)), *push(16, 5)])
    assert len(code) % 8 == 0


def test_a_jump_over_the_end_lands_behind_it() -> None:
    code = only_if(16, 8, (7, 9))
    jumps = [at for at, op in enumerate(code) if op[0] == 0x1D]
    for at in jumps:
        (offset,) = struct.unpack_from("<h", code[at], 2)
        assert at + 1 + offset == len(code)
