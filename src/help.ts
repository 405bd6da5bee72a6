// Help texts.
import type { CommandName } from "./cli.ts";

export const HELP = `import-images puts a list of images on this node: pulled, named, pinned and verified.

Usage: import-images [COMMAND] [OPTIONS]

Commands
  run         pull, tag, pin and verify every image of the configuration (the default)
  plan        show what run would do and why; changes nothing
  status      show the last run, or the one going on, and what is true now
  check       validate a configuration, runtime config or manifest; for a workstation
  completion  print a completion script for bash, zsh or fish
  help        show this, or more about one command

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    narrow run or plan to this image of the list; may be repeated
  --json         machine-readable output on stdout
  --version      version and commit
  -h, --help     this help; after a command, more about that

Exit codes
  0  everything required is in place      4    another run holds the lock
  1  a required image failed              70   a bug of import-images
  2  wrong usage or configuration         128+n  stopped by signal n
  3  container runtime not ready

Logs: /var/vcap/sys/log/import-images/import-images.log (JSON lines)
State: /var/vcap/data/import-images/status.json

Examples
  import-images status
  import-images check runtime-config.yml
  import-images help run
`;

export const TOPICS: Readonly<Record<CommandName, string>> = {
  run: `import-images run [--config FILE] [--only NAME]... [--json]

Brings every image of the configuration onto this node and proves it:
waits for containerd, pulls what is missing through crictl with retry, gives each image its further
names, pins every name, unpins what left the list, and reads the result back through CRI.
An image that fails stops no other. A second run at the same time waits for the first, as long as
containerd.ready_timeout, and then ends with exit code 4.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    do only this image of the list, leave the others alone, unpin nothing;
                 one of its further names will do; may be repeated
  --json         print the final state as JSON (the form of status.json) instead of lines

Output
  On a terminal a bar for each image in work, below what has happened, and one for all: its share,
  bytes, rate, and the time left at that rate. A layer that several images share is counted once.
  Bytes are told "so far" while there are images whose size is not known yet. Elsewhere, and with
  TERM=dumb, a line at each transition and every 30 seconds. Colours are never used.
  The end is a table on stdout and, if something failed, its reason as the last line of stderr.

Signals
  SIGTERM, SIGINT and SIGHUP end it within 10 seconds, with the state written; what was finished
  stays.

Files
  /var/vcap/sys/log/import-images/import-images.log   what happened, as JSON lines
  /var/vcap/data/import-images/status.json            the state, written at each transition
  metrics_file, if set                                the result, in Prometheus' text format

Environment
  IMPORT_IMAGES_LOG_DIR, IMPORT_IMAGES_STATE_DIR      other directories for the first two

Exit codes
  0 in place, 1 a required image failed, 2 configuration, 3 containerd not ready or lost,
  4 another run holds the lock, 70 a bug, 128+n stopped by signal n. on_failure: warn makes 1 a 0.

Examples
  import-images run
  import-images run --only registry.k8s.io/pause:3.9
  bosh -d DEPLOYMENT run-errand import-images       on every worker, without ssh
`,
  plan: `import-images plan [--config FILE] [--only NAME]... [--json]

Shows for each image whether it would be pulled, tagged, moved, pinned or unpinned, and why.
Asks containerd what is there, and no registry. Changes nothing.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    show only this image of the list; one of its further names will do;
                 may be repeated
  --json         print the plan as JSON

Exit codes
  0 shown, whatever there is to do; 2 configuration, 3 containerd not ready.

Examples
  import-images plan
  import-images plan --config new.yml --json
`,
  status: `import-images status [--config FILE] [--json]

Shows the run that goes on, or the last one, and then what is true now: each name of the
configuration, whether CRI knows it, its digest, and whether it is pinned. Of a run that goes on it
shows the bars that run shows on its own terminal; rates are since an image's first attempt. Of the
last run it tells again which images failed, why, and what to do next.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --json         print the run's state and what is true now as JSON

Files
  /var/vcap/data/import-images/status.json            the last run (in IMPORT_IMAGES_STATE_DIR, if
                                                      the environment has it)

Exit codes
  0 everything required is in place, 1 it is not, 2 configuration, 3 containerd not ready.

Example
  watch import-images status
`,
  check: `import-images check FILE [--json]

Validates a configuration without containerd, say on a workstation or in CI, and tells every problem
with its line and column. FILE, or - for the standard input, is one of
  config.json, or the job's properties in YAML
  a BOSH runtime config or deployment manifest, in which every job import-images is checked
  an ops file, of which what it sets of the job is checked
((variables)) may stand for any value, or a part of one. BOSH's files are read as YAML 1.1, in which
no is false and 1.20 is a number; the properties alone as YAML 1.2, as the agent reads them.
The line of a problem is shown with all values masked that could be secret.

Options
  --json  print [{file, line, column, path, problem}] on stdout; [] when there is none

What BOSH would refuse or do otherwise than meant (a release version latest in a runtime config, a
filter for the instance group worker alone, a second document) is a warning on stderr.

Exit codes
  0 no problem, 2 problems, or FILE cannot be read.

Examples
  import-images check runtime-config.yml
  bosh runtime-config --name import_images_runtime | import-images check -
`,
  completion: `import-images completion bash|zsh|fish

Prints a script with which the shell completes commands, options, and the files that they take.

Exit codes
  0 printed, 2 no such shell.

Examples
  source <(import-images completion bash)                    for this shell; in ~/.bashrc for all
  import-images completion bash > /etc/bash_completion.d/import-images
  import-images completion zsh > ~/.zfunc/_import-images     with ~/.zfunc in $fpath
  import-images completion fish > ~/.config/fish/completions/import-images.fish
`,
};
