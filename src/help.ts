// Help: a text for each command, and one for all. Lines have at most 100 columns.
import type { CommandName } from "./cli.ts";

/** @param topic a command; without one, of all of them */
export const help = (topic?: CommandName): string => (topic === undefined ? OVERVIEW : TEXTS[topic]);

const OVERVIEW = `import-images puts a list of images on this node: pulled, named, pinned and verified.

Usage: import-images [COMMAND] [OPTIONS]

Commands
  run      pull, tag, pin and verify every image of the configuration (the default)
  plan     show what run would do and why, and change nothing
  status   show the last run or the one in progress, and what is on this node now
  list     write an images block of what this node has, or of names
  check    validate a configuration, runtime config or manifest, also on a workstation
  help     show this, or more about one command

Options
  --config FILE  the configuration: all that check takes, with one job and no open ((variables))
  --only NAME    limit to this image of the list (repeatable)
  --json         machine-readable output on stdout
  --version      version and commit
  -h, --help     help, after a command the help for it

Exit codes
  0  everything required is in place      4    another run holds the lock
  1  a required image failed              70   a bug of import-images
  2  wrong usage or configuration         128+n  stopped by signal n
  3  container runtime not ready

Files
  /var/vcap/jobs/import-images/config/config.json     the configuration, unless --config is given
  /var/vcap/sys/log/import-images/import-images.log   all events, as JSON lines
  /var/vcap/data/import-images/status.json            the last run, or the one in progress
In the environment, IMPORT_IMAGES_LOG_DIR and IMPORT_IMAGES_STATE_DIR name other directories for the
last two. The job's scripts do not pass them on.

Examples
  import-images status
  import-images list --in-use
  import-images check runtime-config.yml
  import-images help run
`;

const TEXTS: Readonly<Record<CommandName, string>> = {
  run: `import-images run [--config FILE] [--only NAME]... [--json]

  --config FILE  the configuration, or - for standard input
  --only NAME    limit to this image of the list, also by a further name (repeatable)
  --json         print the final state as JSON, in the form of status.json

Puts every image of the configuration on this node and verifies the result. It waits for
containerd, pulls what is missing through crictl, gives each image its further names, pins it,
unpins what is no longer in the list, and reads the result back. It retries failed pulls, and if
one image fails, the others still come. A run with --only unpins nothing, and leaves status.json
and metrics_file as they are: they are about the whole list.

Only one run works on a node at a time: a second one waits for the first, at most
containerd.ready_timeout, and then ends with exit code 4.

It prints one line for each event. On a terminal, it also draws one bar for each image in progress
and one for the whole run; a layer that several images share counts once, and "so far" means that
the size of some images is not known yet. Elsewhere, and with TERM=dumb, it prints its progress
every 30 seconds. It ends with a table, or with --json with the final state in the form of
status.json. If something failed, the last line of stderr says why.

SIGTERM, SIGINT and SIGHUP end the run within 10 seconds. It writes its state first, and images
that are complete stay. Under nohup, SIGHUP is ignored. With on_failure: warn, the exit code is 0
instead of 1. With metrics_file, the result is also written there, in Prometheus text format.

Examples
  import-images run
  import-images run --only registry.k8s.io/pause:3.9
  bosh -d DEPLOYMENT run-errand import-images       on every worker, without ssh
`,
  plan: `import-images plan [--config FILE] [--only NAME]... [--json]

  --config FILE  the configuration, or - for standard input
  --only NAME    limit to this image of the list, also by a further name (repeatable)
  --json         print the plan as JSON

Shows for each image whether run would pull, tag, move, pin or unpin it, and why. It asks
containerd, but no registry, and changes nothing. The exit code is 0 whatever the plan holds.

FILE may be all that check takes, with one job import-images and every ((variable)) filled in. So
a new list can be tried on one worker before it rolls.

Examples
  import-images plan
  import-images plan --config runtime-config.yml
`,
  status: `import-images status [--config FILE] [--deep] [--json]

  --config FILE  the configuration, or - for standard input
  --deep         look at every file of every image on the disk
  --json         print {run, now} as JSON

Shows the last run or the one in progress, and then what is on this node now: each name of the
configuration, whether it is present, its digest, and whether it is pinned. For a run in progress
it shows the same bars as that run; a rate is the average since an image's first attempt. For the
last run it shows which images failed, why, and what to do next. The exit code is 1 if something
required is missing or damaged now.

The first time after the node started it also looks below containerd's database: whether what is
unpacked is on the disk, as far as that is not known. --deep does so at any time, and for every file
of every image of the list: some seconds for each gigabyte.

Examples
  watch import-images status
  import-images status --deep
`,
  list: `import-images list [--in-use] [--from FILE] [--registry HOST/PATH] [--config FILE]

  --in-use              only images that containers on this node use
  --from FILE           names, or images of Kubernetes manifests (- for standard input)
  --registry HOST/PATH  where workers are to pull from
  --config FILE         tells where containerd is

Writes an images block, ready for a runtime config. Without --from it asks this node: one entry for
each image, with its size, and with all names that it has here; --in-use leaves out what no
container uses. It needs no registry, and changes nothing.

With --from it needs no node either. FILE, or - for standard input, has one name on each line, or
Kubernetes manifests in YAML or JSON: the images of all their containers are taken, whatever the
kind, as kubectl get -o json or helm template print them.

With --registry, every image is to be pulled from there: name is its place in that registry, and
retagAs has the names that pods use. Copy the images there under these names. Two registries with
one repository are kept apart by the first one's host. Digests stay.

Examples
  import-images list --registry harbor.example.com/mirror > images.yml
  kubectl get pods -A -o json | import-images list --from - --registry harbor.example.com/mirror
  helm template chart | import-images list --from - | import-images check -
`,
  check: `import-images check FILE [--json]

  FILE    a configuration, runtime config or manifest (- for standard input)
  --json  print [{file, line, column, path, problem}], [] if there is no problem

Validates a configuration and shows every problem with its line and column. It needs no containerd,
so it also runs on a workstation or in CI. FILE, or - for standard input, is one of
  config.json, or the job's properties in YAML
  a BOSH runtime config or deployment manifest: every import-images job in it is checked
((variables)) may stand for any value, or for a part of one. YAML is read as BOSH reads it: no is
false, and 1.20 is a number. Apply ops files first: bosh int manifest.yml -o ops.yml

It never prints a value. The exit code is 2 if there are problems. Warnings on stderr show logins
that no image uses, and a filter that leaves out node pools.

Examples
  import-images check runtime-config.yml
  bosh runtime-config --name import_images_runtime | import-images check -
`,
};
