"""capadvise: which Linux capabilities does a program need, and why?

The way through the package, from the top::

    cli         dispatch and exit codes: the only module that exits
    commands    one short function for each subcommand
    manual      the pages of ``help``; some are generated from catalog and parser
    parser      the arguments of every subcommand
    workflow    what takes several steps: record and judge, prove, try sets for a review
    linux       everything that touches the kernel or an engine, in rooms of its own
    tui         the screens: a view of values
    gate        what a configuration file grants, against rules and reports
    report      the report file, and the text that people read
    formats     compose, kubernetes, systemd …: one configuration language each, and outputs
    prove       which trial to run next
    comparisons what trials lost against each other
    growing     what a set that fails is made larger by
    sharing     what is kept that can do another's part
    proven      what trials have shown, and what a proposal becomes by it
    attempts    what a trial can run with, and which trials are likely
    outcome     what came of a trial
    user_namespace whether a need could be met in one
    hardening   options of systemd that a set and a recording allow
    decide      from judged checks to needs, and to the set that satisfies them
    foreign     folders of the host that a user may not write to
    image_files what an image could do about its files
    unseen      what recordings could not see
    watched     what was refused on a whole machine
    judge       what one check says about its capability
    refused     who refused a call
    differences what was lost in a trial
    either_namespace about which user namespace a check asks
    asides      checks on the way to something else
    behaviour   what a program's checks say about the program
    refusal     refusals, and what audit records add to them
    catalog     facts: capabilities, call sites of the kernel, defaults of the runtimes
    recording   what was seen in one run
    target      what was recorded: a command, a container, a unit, the pods of a workload
    posture     what restrains a process besides its capabilities
    inspected   what was read from a process or an image
    workload    how to run a target again
    image_labels  what an image says itself that it needs
    strict      YAML that forgives nothing
    caps        numbers, names and sets of capabilities
    errors      what can fail, and what to do about it
    clone_flags flags that name kinds of namespaces
    health      what a health check says, and since when
    recent      a bounded table of what was used last
    dataclass   as in the standard library, cheap to define

Each module imports only what stands below it. ``docs/contributing.md`` has the map of the rooms,
and says where to add what.
"""

__version__ = "0.2.0"
