"""capadvise: which Linux capabilities does a program need, and why?

The way through the package, from the top::

    cli         dispatch and exit codes: the only module that exits
    commands    one short function per subcommand
    manual      the pages of ``help``, and what of them is made of catalog and parser
    parser      the arguments of every subcommand
    workflow    what takes several steps: record and judge, prove, try sets for a review
    linux       everything that touches the kernel: observe, tracefs, ringbuffer, guardian
    report      the report file, and the text that people read
    formats     compose, kubernetes, systemd …: one configuration language each, and outputs
    prove       which trial to run next
    proven      what trials have shown, and what a proposal becomes by it
    differences what was lost in a trial
    decide      from judged checks to needs, and to the set that answers them
    judge       what one check says of its capability
    unseen      what recordings could not see
    refused     who refused a call
    catalog     facts: capabilities, the kernel's call sites, runtimes' defaults
    recording   what was seen in one run
    posture     what restrains a process besides its capabilities
    inspected   what was found of a process or an image
    workload    how to run a target again
    strict      YAML that forgives nothing
    caps        numbers, names and sets of capabilities
    errors      what can fail, and the way out

Each module knows only what stands below it.
"""

__version__ = "0.1.0"
