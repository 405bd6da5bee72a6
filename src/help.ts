// Help: one text per command, and an overview. Lines have at most 100 columns.
import type { CommandName } from "./cli.ts";

/** @param topic a command; without one, returns the overview */
export const help = (topic?: CommandName): string => (topic === undefined ? OVERVIEW : TEXTS[topic]);

const OVERVIEW = `import-images puts a list of images on this node, then names, pins and verifies them.

Usage: import-images [COMMAND] [OPTIONS]

Commands
  run      pull, name, pin and verify every image in the configuration (the default)
  plan     show what run would do and why, and change nothing
  status   show the last run or the run in progress, and the current state of this node
  list     write an images block from the images on this node, or from names
  check    validate a configuration, runtime config or manifest, also on a workstation
  help     show this overview, or the help for a command

Options
  --config FILE  the configuration: a file that check takes, with one job and no open ((variables))
  --only NAME    limit the command to this image in the list (repeatable)
  --json         print machine-readable output on stdout
  --version      print the version and commit
  -h, --help     print help; after a command, the help for that command

Exit codes
  0  everything required is in place      4    another run holds the lock
  1  a required image failed              70   a bug in import-images
  2  invalid usage or configuration       128+n  stopped by signal n
  3  container runtime not ready or lost

Files
  /var/vcap/jobs/import-images/config/config.json     the configuration, unless --config is given
  /var/vcap/sys/log/import-images/import-images.log   all events, as JSON lines
  /var/vcap/data/import-images/status.json            the last run, or the run in progress
To use other directories for the last two files, set IMPORT_IMAGES_LOG_DIR and
IMPORT_IMAGES_STATE_DIR. The job's scripts do not pass these variables on.

Examples
  import-images status
  import-images list --in-use
  import-images check runtime-config.yml
  import-images help run
`;

const TEXTS: Readonly<Record<CommandName, string>> = {
  run: `import-images run [--config FILE] [--only NAME]... [--json]

  --config FILE  the configuration, or - for standard input
  --only NAME    limit the run to this image in the list; further names work too (repeatable)
  --json         print the final state as JSON, in the form of status.json

Puts every image in the configuration on this node and verifies the result. The run waits for
containerd, pulls missing images through crictl, gives each image its further names and pins it,
unpins images that are no longer in the list, and reads the result back. It retries failed pulls.
If one image fails, the others continue. A run with --only unpins nothing and does not change
status.json or metrics_file, because these describe the whole list.

Only one run works on a node at a time. A second run waits for the first for at most
containerd.ready_timeout, then exits with 4.

The run prints one line for each event. On a terminal, it also shows a bar for each image in
progress and one for the whole run. A layer that several images share counts once. "so far" means
that the size of some images is not known yet. Without a terminal, or with TERM=dumb, the run
prints its progress every 30 seconds. At the end it prints a table, or with --json the final state.
If something failed, the last line of stderr says why.

SIGTERM, SIGINT and SIGHUP end the run within 10 seconds. The run first writes its state; finished
images stay in place. Under nohup, SIGHUP is ignored. With on_failure: warn, the exit code is 0
instead of 1. With metrics_file, the run also writes its result in Prometheus text format.

Examples
  import-images run
  import-images run --only registry.k8s.io/pause:3.9
  bosh -d DEPLOYMENT run-errand import-images       on every worker, without ssh
`,
  plan: `import-images plan [--config FILE] [--only NAME]... [--json]

  --config FILE  the configuration, or - for standard input
  --only NAME    limit the plan to this image in the list; further names work too (repeatable)
  --json         print the plan as JSON

Shows whether run would pull, tag, move, pin or unpin each image, and why. It asks containerd but
contacts no registry, and changes nothing. The exit code is 0 whatever the plan contains.

FILE can be any file that check takes, with one import-images job and every ((variable)) filled in.
This lets you try a new list on one worker before you apply it to all of them.

Examples
  import-images plan
  import-images plan --config runtime-config.yml
`,
  status: `import-images status [--config FILE] [--deep] [--json]

  --config FILE  the configuration, or - for standard input
  --deep         check every file of every image in the list on the disk
  --json         print {run, now} as JSON

Shows the last run or the run in progress, then the current state of this node: for each name in
the configuration, whether it is present, its image ID, and whether it is pinned. For a run in
progress, it shows the same bars as that run; a rate is the average since the image's first
attempt. For the last run, it shows which images failed, why, and what to do next. The exit code is
1 if something required is missing or damaged.

The first time after the node has booted, status also looks below containerd's database: it checks
that unpacked files are on the disk, unless that is already known. --deep does this at any time,
for every file of every image in the list. It takes some seconds per gigabyte.

Examples
  watch import-images status
  import-images status --deep
`,
  list: `import-images list [--in-use] [--from FILE] [--registry HOST/PATH] [--config FILE]

  --in-use              list only images that containers on this node use
  --from FILE           read names, or images in Kubernetes manifests (- for standard input)
  --registry HOST/PATH  the registry from which the workers will pull
  --config FILE         the configuration, for the location of containerd

Writes an images block for a runtime config. Without --from, it lists the images on this node: one
entry per image, with its size and all the names that it has here. --in-use leaves out images that
no container uses. The command contacts no registry and changes nothing.

With --from, it needs no node. FILE, or - for standard input, contains either one name per line or
Kubernetes manifests in YAML or JSON, such as the output of kubectl get -o json or helm template.
The command takes the images of all containers, in resources of any kind.

With --registry, each name points to that registry, and retagAs holds the names that pods use. Copy
the images there under these names. If two registries have the same repository, the host of the
original is added to tell them apart. Digests stay.

Examples
  import-images list --registry harbor.example.com/mirror > images.yml
  kubectl get pods -A -o json | import-images list --from - --registry harbor.example.com/mirror
  helm template chart | import-images list --from - | import-images check -
`,
  check: `import-images check FILE [--json]

  FILE    a configuration, runtime config or manifest (- for standard input)
  --json  print [{file, line, column, path, problem}], or [] if there is no problem

Validates a configuration and reports every problem with its line and column. It needs no
containerd, so it also runs on a workstation or in CI. FILE, or - for standard input, is one of:
  config.json, or the job's properties in YAML
  a BOSH runtime config or deployment manifest; every import-images job in it is checked
((variables)) can replace any value or a part of one. YAML is read as BOSH reads it: no is false,
and 1.20 is a number. Apply ops files first: bosh int manifest.yml -o ops.yml

The command never prints a value. It exits with 2 if there are problems. Warnings on stderr report
logins that no image uses, and filters that leave out node pools.

Examples
  import-images check runtime-config.yml
  bosh runtime-config --name import_images_runtime | import-images check -
`,
};
