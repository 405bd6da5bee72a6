// What each property is for, in one place: the job's spec, its JSON schema and the README's table are generated from this
// and from schema.ts, which has names, types and defaults (scripts/generate-properties.ts).

/** Of one property, `retry.attempts`, or of one key of a list's items, `images[].name`. */
export interface About {
  readonly description: string;
  /** For the job's spec; keys of items have none, as the example of their list shows them. */
  readonly example?: unknown;
  /** Shown in place of a default that is not a value. */
  readonly otherwise?: string;
}

const LOGIN = {
  auth: "base64 of `user:password`. An empty one counts as not given.",
  username: "With `password`, the other form of `auth`.",
  password: "With `username`, the other form of `auth`.",
};

const IMAGES = {
  images: {
    description: "Images that every instance must hold.",
    example: [
      {
        name: "harbor.example.com/platform/debian-base:v2.0.0",
        auth: "((/import-images/harbor_auth))",
        retagAs: "registry.k8s.io/debian-base:v2.0.0",
      },
      {
        name: "harbor.example.com/platform/pause:3.9",
        username: "((/import-images/harbor.username))",
        password: "((/import-images/harbor.password))",
        retagAs: ["registry.k8s.io/pause:3.9", "k8s.gcr.io/pause:3.9"],
        pullPolicy: "IfNotPresent",
        required: true,
        pin: true,
        timeout: "10m",
      },
    ],
  },
  "images[].name": {
    description:
      "What to pull, by tag or by digest. It is completed as containerd does it: `docker.io/library/`, `:latest`.",
  },
  "images[].auth": { description: LOGIN.auth },
  "images[].username": { description: LOGIN.username },
  "images[].password": { description: LOGIN.password },
  "images[].retagAs": {
    description: "A further name for the image, or a list of them. An empty one counts as not given.",
  },
  "images[].pullPolicy": {
    description:
      "`Always` or `IfNotPresent`. Unset, it is `Always` for `:latest` and for no tag, and `IfNotPresent` for the rest.",
    otherwise: "as Kubernetes",
  },
  "images[].required": {
    description: "`false`: if this image fails, it is reported, and the deploy goes on.",
  },
  "images[].pin": { description: "For this image, in place of the job's `pin`.", otherwise: "the job's" },
  "images[].timeout": {
    description: "For this image, in place of the job's `image_timeout`.",
    otherwise: "the job's",
  },
};

const CREDENTIALS = {
  registries: {
    description:
      "Credentials for all images of a registry, or for those below a path of it. The longest path that matches wins. An image's own credentials win over these.",
    example: [
      {
        host: "harbor.example.com",
        username: "((/import-images/harbor.username))",
        password: "((/import-images/harbor.password))",
      },
      { host: "harbor.example.com/team-a", auth: "((/import-images/team_a_auth))" },
      { host: "registry.example.com:5000", auth: "((/import-images/registry_auth))" },
    ],
  },
  "registries[].host": {
    description:
      "The registry, with its port if it has one, and perhaps with a path. `*` stands for one label or a part of it, as for the kubelet: `*.example.com`.",
  },
  "registries[].auth": { description: LOGIN.auth },
  "registries[].username": { description: LOGIN.username },
  "registries[].password": { description: LOGIN.password },
  docker_config: {
    description:
      "Content of a docker `config.json`, as a mapping or as JSON text. Its `auths` are used for images for which `images` and `registries` have no credentials. Credential helpers and tokens are not used; `check` and the log name those that are there.",
    example: { auths: { "harbor.example.com": { auth: "((/import-images/harbor_auth))" } } },
  },
  allow_credentials_in_argv: {
    description:
      "crictl before 1.24 takes credentials only on its command line, where every user of the instance can read them. `true` accepts that. With `false`, images that need credentials fail on such an instance, with that reason.",
    example: true,
  },
};

const RUN = {
  pin: {
    description:
      "Keep the images from the kubelet's image garbage collection. What an earlier run pinned and the list no longer has is unpinned.",
    example: false,
  },
  on_failure: {
    description:
      "What a failed required image does to the deploy: `fail` fails it, `warn` reports the image and lets the deploy go on. `warn` makes exit code 1 a 0, and nothing else: a bad configuration (2), a runtime that does not answer (3), another run (4), a fault of the program (70) and a signal (128+n) still fail the deploy.",
    example: "warn",
  },
  concurrency: {
    description:
      "Images that are pulled at once, from 1 to 64. `auto` begins by the version of containerd and the number of CPUs, and follows what it measures.",
    example: 3,
  },
  "retry.attempts": {
    description:
      "Attempts for an image, the first one included. A failure that cannot pass by itself is not tried again.",
    example: 10,
  },
  "retry.min_delay": {
    description:
      "Upper bound of the random delay before the first delayed retry. It doubles with each retry. The first retry of a broken transfer has no delay.",
    example: "500ms",
  },
  "retry.max_delay": { description: "Upper bound of the delay before any retry.", example: "2m" },
  stall_timeout: {
    description: "An attempt that receives nothing for this long is ended and tried again.",
    example: "3m",
  },
  image_timeout: { description: "Time for one image with all its attempts.", example: "1h" },
  deadline: {
    description:
      "Time for the whole run. BOSH itself never ends a post-start script, so a run without a deadline could hold a deploy for ever.",
    example: "2h",
  },
  start_jitter: {
    description:
      "Wait a random time up to this one before the first pull, so that a fleet does not meet the registry at once.",
    example: "90s",
  },
};

const NODE = {
  "disk.min_free_percent": {
    description:
      "Pull nothing while less than this share of containerd's disk is free. 0 switches the check off. By default the kubelet begins to delete images when less than 15 % is free.",
    example: 15,
  },
  "containerd.crictl": {
    description: "Path of the crictl executable on the instance.",
    example: "/usr/local/bin/crictl",
  },
  "containerd.ctr": {
    description: "Path of the ctr executable on the instance.",
    example: "/usr/local/bin/ctr",
  },
  "containerd.socket": {
    description: "Path of containerd's socket on the instance.",
    example: "/run/containerd/containerd.sock",
  },
  "containerd.namespace": {
    description: "containerd's namespace in which the kubelet's images are.",
    example: "k8s.io",
  },
  "containerd.ready_timeout": {
    description:
      "How long to wait for containerd to answer. BOSH starts this job when containerd's process runs, which may be before its socket answers.",
    example: "5m",
  },
  "kubelet.root_dir": {
    description:
      "Where the kubelet keeps its records of pulled images. They are read for warnings only; there are none where this directory does not exist.",
    example: "/var/vcap/data/kubelet",
  },
  archives: {
    description:
      "Image archives (docker or OCI) on the instance, say from another BOSH package, imported before anything is pulled: for images that no registry has. One that has not changed is skipped.",
    example: [{ path: "/var/vcap/packages/platform-images/platform.tar" }],
  },
  "archives[].path": { description: "Absolute path of the archive." },
  "archives[].required": {
    description: "`false`: if this archive fails, it is reported, and the deploy goes on.",
  },
  "archives[].pin": { description: "For its images, in place of the job's `pin`.", otherwise: "the job's" },
  metrics_file: {
    description:
      "Absolute path, ending in `.prom`, of a file to which the result of each run is written in the Prometheus text format, for a node exporter's textfile collector. Unset: nothing is written.",
    example: "/var/vcap/store/node_exporter/textfile/import_images.prom",
  },
  log_level: {
    description:
      "Least level of the lines in `import-images.log`: `fatal`, `error`, `warn`, `info`, `debug` or `trace`.",
    example: "debug",
  },
};

/** In the order in which they are shown. */
export const PROPERTIES: ReadonlyMap<string, About> = new Map(
  Object.entries<About>({ ...IMAGES, ...CREDENTIALS, ...RUN, ...NODE }),
);
