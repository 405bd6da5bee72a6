// Help texts.
import type { CommandName } from "./cli.ts";

export const HELP = `import-images puts a list of images on this node: pulled, named, pinned and verified.

Usage: import-images [COMMAND] [OPTIONS]

Commands
  run         pull, tag, pin and verify every image of the configuration (the default)
  plan        show what run would do and why, and change nothing
  status      show the last run or the one in progress, and what is on this node now
  check       validate a configuration, runtime config or manifest, also on a workstation
  completion  print a completion script for bash, zsh or fish
  help        show this, or more about one command

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    limit run or plan to this image of the list (repeatable)
  --json         machine-readable output on stdout
  --version      version and commit
  -h, --help     this help, or after a command the help for it

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

Puts every image of the configuration on this node and verifies the result. It waits for containerd,
pulls what is missing through crictl, gives each image its further names, pins it, unpins what is no
longer in the list, and reads the result back. It retries failed pulls, and if one image fails, the
others still come. Only one run works on a node at a time: a second one waits for the first, at most
containerd.ready_timeout, and then ends with exit code 4.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    work on this image of the list only, and unpin nothing; NAME may be one of its
                 further names (repeatable)
  --json         print the final state as JSON, in the form of status.json, instead of lines

Output
  On a terminal: one line for each event, and below them one bar for each image in progress and one
  for the whole run, with percentage, bytes, rate and time left. A layer that several images share
  counts once. "So far" means that the size of some images is not known yet.
  Elsewhere, and with TERM=dumb: one line for each event, and one every 30 seconds.
  Every run ends with a table on stdout. If something failed, the last line of stderr says why.
  There are no colours.

Signals
  SIGTERM, SIGINT and SIGHUP end the run within 10 seconds. It writes its state first, and images
  that are complete stay. Under nohup, SIGHUP is ignored.

Files
  /var/vcap/sys/log/import-images/import-images.log   all events, as JSON lines
  /var/vcap/data/import-images/status.json            the state, written at each event
  metrics_file, if set                                the result, in Prometheus text format

Environment
  IMPORT_IMAGES_LOG_DIR, IMPORT_IMAGES_STATE_DIR      other directories for the first two files
                                                      (the job's scripts do not pass them on)

Exit codes
  0 everything required is in place, 1 a required image failed, 2 wrong usage or configuration,
  3 containerd not ready or lost, 4 another run holds the lock, 70 a bug, 128+n stopped by signal n.
  With on_failure: warn, the exit code is 0 instead of 1.

Examples
  import-images run
  import-images run --only registry.k8s.io/pause:3.9
  bosh -d DEPLOYMENT run-errand import-images       on every worker, without ssh
`,
  plan: `import-images plan [--config FILE] [--only NAME]... [--json]

Shows for each image whether run would pull, tag, move, pin or unpin it, and why.
It asks containerd, but no registry, and changes nothing.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    show this image of the list only; NAME may be one of its further names
                 (repeatable)
  --json         print the plan as JSON

Exit codes
  0 the plan is shown, whatever it holds; 2 wrong usage or configuration; 3 containerd not ready.

Examples
  import-images plan
  import-images plan --config new.yml --json
`,
  status: `import-images status [--config FILE] [--json]

Shows the last run or the one in progress, and then what is on this node now: each name of the
configuration, whether it is present, its digest, and whether it is pinned. For a run in progress it
shows the same bars as that run; a rate is the average since an image's first attempt. For the last
run it shows which images failed, why, and what to do next.

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --json         print the state of the run and of this node as JSON

Files
  /var/vcap/data/import-images/status.json            the last run, or the one in progress; with
                                                      IMPORT_IMAGES_STATE_DIR, in that directory

Exit codes
  0 everything required is in place, 1 something is missing, 2 wrong usage or configuration,
  3 containerd not ready.

Example
  watch import-images status
`,
  check: `import-images check FILE [--json]

Validates a configuration and shows every problem with its line and column. It needs no containerd,
so it also runs on a workstation or in CI. FILE, or - for standard input, is one of
  config.json, or the job's properties in YAML
  a BOSH runtime config or deployment manifest: every import-images job in it is checked
  an ops file: the properties that it sets are checked
((variables)) may stand for any value, or for a part of one. Files for BOSH are read as YAML 1.1, in
which no is false and 1.20 is a number. Properties alone are read as YAML 1.2, as on the node.
The line with a problem is shown with every value masked that could be secret.

Options
  --json  print [{file, line, column, path, problem}] on stdout, [] if there is no problem

Warnings on stderr show what BOSH would refuse or misunderstand: the release version latest in a
runtime config, a filter for the instance group worker alone, a second YAML document.

Exit codes
  0 no problem; 2 there are problems, or FILE cannot be read.

Examples
  import-images check runtime-config.yml
  bosh runtime-config --name import_images_runtime | import-images check -
`,
  completion: `import-images completion bash|zsh|fish

Prints a script that lets the shell complete commands, options and file names.

Exit codes
  0 printed, 2 wrong usage.

Examples
  source <(import-images completion bash)                    this shell; in ~/.bashrc: every shell
  import-images completion bash > /etc/bash_completion.d/import-images
  import-images completion zsh > ~/.zfunc/_import-images     needs ~/.zfunc in $fpath
  import-images completion fish > ~/.config/fish/completions/import-images.fish
`,
};
