"""capadvise: which Linux capabilities does a program need, and why?

Thirteen rooms, from the top. Each imports only what stands below it::

    cli         dispatch, arguments, a short function for each subcommand, help; it alone exits
    tui         the screens: they show values and know no kernel
    workflow    what takes several steps: record and judge, prove, record on a screen, doctor
    gate        what a configuration file grants, against rules and reports; patches of a file
    proof       which trial to run next (pure), and the trials themselves, isolated
    targets     where targets are made or found: docker, podman, systemd, clusters, what runs
    observe     seeing capability checks: starting a target, tracing it, retrying its refused calls
    kernel      /proc, libc, system calls, process trees, what restrains a process
    report      the report file: load, save, merge; and the text and pages that people read
    config      a folder for each configuration language: recognise, read, render, edit
    judgement   every judgement: from a check to a need, from needs to sets, from trials to a proof
    catalog     loads the facts: capabilities, call sites of the kernel, defaults of the runtimes
    model       values: recording, target, posture, workload; capabilities, errors, strict YAML

``docs/contributing.md`` has the map, and says where to add what.
"""

__version__ = "0.2.0"
