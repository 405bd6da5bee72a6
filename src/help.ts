// Help texts.
import type { CommandName } from "./cli.ts";

export const HELP = `import-images puts a list of images on this node: pulled, named, pinned and verified.

Usage: import-images [COMMAND] [OPTIONS]

Commands
  run       pull, tag, pin and verify every image of the configuration (the default)
  plan      show what run would do and why; changes nothing
  status    show the last run, or the one going on, and what is true now
  help      show this, or more about one command

Options
  --config FILE  the configuration, JSON or YAML
                 (default: /var/vcap/jobs/import-images/config/config.json)
  --only NAME    narrow run or plan to this image of the list; may be repeated
  --json         machine-readable output on stdout
  --version      version and commit
  -h, --help     this help

Exit codes
  0  everything required is in place      4    another run holds the lock
  1  a required image failed              70   a bug of import-images
  2  wrong usage or configuration         128+n  stopped by signal n
  3  container runtime not ready

Logs: /var/vcap/sys/log/import-images/import-images.log (JSON lines)
State: /var/vcap/data/import-images/status.json
`;

export const TOPICS: Readonly<Record<CommandName, string>> = {
  run: `import-images run [--config FILE] [--only NAME]... [--json]

Brings every image of the configuration onto this node and proves it:
waits for containerd, pulls what is missing through crictl with retry, gives each image its further
names, pins every name, unpins what left the list, and reads the result back through CRI.
An image that fails stops no other. A second run at the same time waits for the first, as long as
containerd.ready_timeout, and then ends with exit code 4.

--only NAME leaves the rest of the list alone, and unpins nothing.
--json      prints the final state as JSON (the form of status.json) instead of lines.

SIGTERM and SIGINT end it within 10 seconds, with the state written.
`,
  plan: `import-images plan [--config FILE] [--only NAME]... [--json]

Shows for each image whether it would be pulled, tagged, moved, pinned or unpinned, and why.
Asks containerd what is there, and no registry. Changes nothing.
`,
  status: `import-images status [--config FILE] [--json]

Shows the run that goes on, or the last one, and then what is true now: each name of the
configuration, whether CRI knows it, its digest, and whether it is pinned.
Ends with 0 if everything required is in place, and with 1 if not.
`,
};
