// Everything that a registry or the network may do to a pull, each with a host of its own so that faults of many images
// can act at the same time. scripts/record-errors records what the tools print of it; faults.test.ts what the agent makes of it.
import { gzipSync } from "node:zlib";
import { type Containerd, type HostOptions, startContainerd } from "../rig/containerd.ts";
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from "../rig/fault-proxy.ts";
import type { Rule } from "../rig/fault-rules.ts";
import { deleteBlob, type ImageSpec, type PushedImage, pushImage, pushIndex, tagImage } from "../rig/push.ts";
import { type Endpoint, type Registry, startRegistry } from "../rig/registry.ts";
import { tar } from "../rig/tar.ts";
import type { ContainerdLine, CrictlVersion } from "../rig/tools.ts";
import {
  type Server,
  startAnnouncing,
  startForeignLogin,
  startOldRegistry,
  startPortal,
  startRedirectLoop,
  startRudeServer,
  startTokenServer,
  startWithStore,
} from "./faults-servers.ts";

/** Where faults are set up. */
export interface Site {
  readonly containerd: Pick<Containerd, "useHost">;
  readonly registry: Registry;
  /** Asks for a user and password. */
  readonly secured: Registry;
  /** Speaks https only. */
  readonly encrypted: Registry;
  readonly cleanup: AsyncDisposableStack;
}

/** All of it, as parts of `cleanup`. */
export async function openSite(
  line: ContainerdLine,
  cleanup: AsyncDisposableStack,
  crictl?: CrictlVersion,
): Promise<Site & { readonly containerd: Containerd }> {
  return {
    registry: cleanup.use(await startRegistry()),
    secured: cleanup.use(await startRegistry({ auth: { user: "puller", password: "right" } })),
    encrypted: cleanup.use(await startRegistry({ tls: true })),
    containerd: cleanup.use(await startContainerd(line, { ...(crictl && { crictl }) })),
    cleanup,
  };
}

export interface Target {
  /** To be pulled. */
  readonly reference: string;
  /** base64 of user:password. */
  readonly auth?: string;
  /** Takes the fault away. */
  readonly heal: () => Promise<void> | void;
  /** How often the host was asked. */
  readonly asked: () => number;
  /** Requests or connections end by nobody's doing but ours. */
  readonly endless?: true;
}

/** @param id names the image: no two may share a layer, or the second finds it there */
export type Stage = (site: Site, id: string) => Promise<Target>;

const layerBytes = 600_000;
const middle = 200_000;

const push = (endpoint: Endpoint, id: string, platform = "linux/amd64"): Promise<PushedImage> =>
  pushImage(endpoint, `faults/${id}:1`, { layers: [{ bytes: layerBytes, seed: id }], platform });

const layerOf = (image: PushedImage): string => image.layers[0]?.digest ?? "";
export const encoded = (user: string, password: string): string =>
  Buffer.from(`${user}:${password}`).toString("base64");

interface Given {
  readonly tls?: FaultProxyOptions["tls"];
  readonly host?: (proxy: FaultProxy) => HostOptions;
  readonly auth?: string;
  readonly endless?: true;
}

/** An image behind a proxy with rules. */
function proxied(rules: (image: PushedImage) => Rule[], given: Given = {}): Stage {
  return async ({ registry, containerd, cleanup }, id) => {
    const proxy = cleanup.use(
      await startFaultProxy(registry, given.tls === undefined ? {} : { tls: given.tls }),
    );
    const image = await push(registry, id);
    proxy.set(...rules(image));
    await containerd.useHost(proxy.host, given.host?.(proxy) ?? { server: `http://${proxy.host}` });
    return {
      ...targetOf(proxy, image),
      ...(given.auth !== undefined && { auth: given.auth }),
      ...(given.endless && { endless: true }),
    };
  };
}

const targetOf = (proxy: FaultProxy, { repository, tag }: PushedImage): Target => ({
  reference: `${proxy.host}/${repository}:${tag}`,
  asked: () => proxy.requests().length,
  heal: async () => {
    proxy.clear();
    await proxy.up();
  },
});

const manifests = /\/manifests\//;
const onManifest = (rule: Rule): Stage => proxied(() => [{ ...rule, path: manifests }]);
const onLayer = (rule: Rule): Stage => proxied((image) => [{ ...rule, digest: layerOf(image) }]);

/** An image behind a server that is no proxy. */
function behind(start: (registry: Registry) => Promise<Server>, given: Given = {}): Stage {
  return async ({ registry, containerd, cleanup }, id) => {
    const server = cleanup.use(await start(registry));
    const image = await push(registry, id);
    await containerd.useHost(server.host, { server: `http://${server.host}` });
    return {
      reference: `${server.host}/${image.repository}:1`,
      asked: server.count,
      heal: server.heal,
      ...(given.auth !== undefined && { auth: given.auth }),
      ...(given.endless && { endless: true }),
    };
  };
}

const absent: Stage = async (site, id) => {
  const target = await proxied(() => [])(site, id);
  return { ...target, reference: target.reference.replace(`faults/${id}:1`, `faults/nowhere-${id}:1`) };
};

const untagged: Stage = async (site, id) => {
  const target = await proxied(() => [])(site, id);
  const heal = async (): Promise<void> => tagImage(site.registry, await push(site.registry, id), "2");
  return { ...target, reference: target.reference.replace(/:1$/u, ":2"), heal };
};

const missingBlob: Stage = async (site, id) => {
  const target = await proxied(() => [])(site, id);
  const { digest } = (await push(site.registry, id)).layers[0] ?? { digest: "" };
  await deleteBlob(site.registry, `faults/${id}`, digest);
  return { ...target, heal: async () => void (await push(site.registry, id)) };
};

const otherPlatform: Stage = async (site, id) => {
  const target = await proxied(() => [])(site, id);
  const image = await push(site.registry, id, "linux/s390x");
  await pushIndex(site.registry, `faults/${id}:1`, [{ image }]);
  return target;
};

/** Complete and well served, but nothing that can be unpacked. */
function unfit(spec: Partial<ImageSpec>): Stage {
  return async (site, id) => {
    const target = await proxied(() => [])(site, id);
    await pushImage(site.registry, `faults/${id}:1`, { layers: [{ bytes: 1000, seed: id }], ...spec });
    return target;
  };
}

/** As a build or a push that went wrong leaves it; each has its right digest. */
const gzipOf = (bytes: Buffer | string): Buffer => gzipSync(bytes, { level: 1 });
const brokenLayer =
  (blob: (id: string) => Buffer, layer?: string): Stage =>
  async (site, id) =>
    unfit({
      layers: [{ raw: blob(id) }],
      ...(layer !== undefined && {
        types: { config: "application/vnd.oci.image.config.v1+json", layer },
      }),
    })(site, id);
const someTar = (id: string): Buffer => tar([{ name: id, content: Buffer.alloc(300_000, id) }]);

/** An index that calls another index a manifest. */
const mislabelled: Stage = async (site, id) => {
  const target = await proxied(() => [])(site, id);
  const image = await push(site.registry, id);
  const inner = await pushIndex(site.registry, `faults/${id}:inner`, [{ image }]);
  await pushIndex(site.registry, `faults/${id}:1`, [
    { image: { ...image, ...inner, mediaType: image.mediaType } },
  ]);
  return target;
};

/** A mirror that is asked first and lacks the image, and a registry that cannot be reached. */
const lackedByMirror: Stage = async (site, id) => {
  const proxy = site.cleanup.use(await startFaultProxy(site.registry));
  const host = `${id}.registry.invalid`;
  await site.containerd.useHost(host, { mirror: `http://${proxy.host}` });
  return {
    reference: `${host}/faults/${id}:1`,
    asked: () => proxy.requests().length,
    heal: async () => void (await push(site.registry, id)),
  };
};

/** Somewhere that the registry sends to. */
const elsewhere: Readonly<Record<string, (site: Site) => Promise<string>>> = {
  "no-such-host": async () => "http://elsewhere.registry.invalid",
  refused: async ({ registry, cleanup }) => {
    const proxy = cleanup.use(await startFaultProxy(registry));
    await proxy.down("refused");
    return `http://${proxy.host}`;
  },
  "unknown-ca": async ({ registry, cleanup }) =>
    `https://${cleanup.use(await startFaultProxy(registry, { tls: "unknown-ca" })).host}`,
};
const storeAt =
  (where: keyof typeof elsewhere): Stage =>
  async (site, id) =>
    behind(async (registry) => startWithStore(registry, await elsewhere[where]!(site)))(site, id);
const realmAt =
  (where: keyof typeof elsewhere): Stage =>
  async (site, id) =>
    behind(
      async (registry) => startTokenServer(registry, "expire", `${await elsewhere[where]!(site)}/token`),
      { auth: encoded("puller", "right") },
    )(site, id);
const store = (status: number): Stage => behind((registry) => startWithStore(registry, status));

const configWith = (diffIds: number): object => ({
  os: "linux",
  architecture: "amd64",
  config: {},
  rootfs: { type: "layers", diff_ids: Array.from({ length: diffIds }, () => `sha256:${"1".repeat(64)}`) },
});

const chart = unfit({
  types: {
    config: "application/vnd.cncf.helm.config.v1+json",
    layer: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
  },
  config: { apiVersion: "v2", name: "chart", version: "1.0.0" },
});

const signature = unfit({
  types: {
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.dev.cosign.simplesigning.v1+json",
  },
  config: configWith(1),
});

/** A registry that wants a password. */
function secured(auth: string | undefined): Stage {
  return async (site, id) => {
    const target = await proxied(() => [], auth === undefined ? {} : { auth })(
      { ...site, registry: site.secured },
      id,
    );
    return target;
  };
}

const refused: Stage = async (site, id) => {
  let proxy: FaultProxy | undefined;
  const target = await proxied(() => [], {
    host: (started) => {
      proxy = started;
      return { server: `http://${started.host}` };
    },
  })(site, id);
  await proxy?.down("refused");
  return target;
};

const noSuchHost: Stage = async ({ containerd }, id) => {
  const host = `${id}.registry.invalid`;
  await containerd.useHost(host, { server: `http://${host}` });
  return { reference: `${host}/faults/${id}:1`, asked: () => 0, heal: () => undefined };
};

/** These two to Go's own server, as most registries are written in Go. */
const httpForHttps: Stage = async ({ containerd, cleanup }, id) => {
  const { host } = cleanup.use(await startRegistry());
  await containerd.useHost(host, { server: `https://${host}` });
  return { reference: `${host}/faults/${id}:1`, asked: () => 0, heal: () => undefined };
};

const httpsForHttp: Stage = async ({ encrypted, containerd }, id) => {
  const image = await push(encrypted, id);
  await containerd.useHost(encrypted.host, { server: `http://${encrypted.host}` });
  return { reference: image.reference, asked: () => 0, heal: () => undefined };
};

/** What answers there is no TLS server, and no HTTP server either. */
const noTls: Stage = async ({ registry, containerd, cleanup }, id) => {
  const server = cleanup.use(await startRudeServer(registry, "not-http"));
  await containerd.useHost(server.host, { server: `https://${server.host}` });
  return { reference: `${server.host}/faults/${id}:1`, asked: server.count, heal: server.heal };
};

/** To one that ends the connection with an alert. */
const alertForHttp: Stage = proxied(() => [], {
  tls: "trusted",
  host: (proxy) => ({ server: `http://${proxy.host}` }),
});

const certificate = (tls: NonNullable<FaultProxyOptions["tls"]>): Stage =>
  proxied(() => [], {
    tls,
    host: ({ host, caFile }) => ({
      server: `https://${host}`,
      ...(caFile !== undefined && { caFile }),
    }),
  });

/** With https, because a 400 to plain http means something else. */
const malformed = proxied(() => [{ status: 400, path: manifests }], {
  tls: "trusted",
  host: ({ host, caFile = "" }) => ({ server: `https://${host}`, caFile }),
});

/** Files that hosts.toml names. */
const hostsFile = (files: Pick<HostOptions, "caFile" | "clientFile">): Stage =>
  proxied(() => [], { tls: "trusted", host: ({ host }) => ({ server: `https://${host}`, ...files }) });
const NO_FILE = "/nonexistent/certificate.pem";
const NO_CERTIFICATE = "/etc/passwd";

/** What a registry adds to its answer may be long, and may be anything. */
const wordy = {
  status: 429,
  body: JSON.stringify({
    errors: [{ code: "TOOMANYREQUESTS", message: "x509: no space left: not found. ".repeat(200) }],
  }),
};

/**
 * In the middle of a layer, and from then on before its first byte: what has come is kept, and attempts that bring
 * some more each would get it all. 1.x also goes on by itself, until three tries in a row bring nothing.
 */
const breaking = (
  cut: "dropAfter" | "resetAfter" | "truncateAfter" | "stallAfter",
  given: Given = {},
): Stage =>
  proxied(
    (image) => [
      { digest: layerOf(image), [cut]: 0 },
      { digest: layerOf(image), [cut]: middle, times: 1 },
    ],
    given,
  );

/** As ECR words it. */
const EXPIRED = JSON.stringify({
  errors: [
    { code: "DENIED", message: "Your authorization token has expired. Reauthenticate and try again." },
  ],
});

export const wrongPassword = "wr0ng-p4ssword+/=";

export const registryFaults = {
  "missing-tag": untagged,
  "missing-repository": absent,
  "missing-blob": missingBlob,
  "wrong-platform": otherPlatform,
  "no-credentials": secured(undefined),
  "wrong-password": secured(encoded("puller", wrongPassword)),
  "token-wrong-password": behind((registry) => startTokenServer(registry, "refuse"), {
    auth: encoded("puller", wrongPassword),
  }),
  "token-no-credentials": behind((registry) => startTokenServer(registry, "refuse")),
  "token-denied": behind((registry) => startTokenServer(registry, "grant-nothing")),
  "token-service-503": behind((registry) => startTokenServer(registry, "broken")),
  "token-html": behind((registry) => startTokenServer(registry, "html")),
  "token-empty": behind((registry) => startTokenServer(registry, "empty")),
  "token-expires": behind((registry) => startTokenServer(registry, "expire"), {
    auth: encoded("puller", "right"),
  }),
  html: behind(startPortal),
  "schema-1": behind(startOldRegistry),
  "wrong-diff-id": unfit({ config: configWith(1) }),
  "wrong-layer-count": unfit({ config: configWith(2) }),
  "manifest-400": malformed,
  "manifest-402": onManifest({ status: 402 }),
  "manifest-403": onManifest({ status: 403 }),
  "manifest-405": onManifest({ status: 405 }),
  "manifest-407": onManifest({ status: 407 }),
  "manifest-409": onManifest({ status: 409 }),
  "manifest-410": onManifest({ status: 410 }),
  "manifest-412": onManifest({ status: 412 }),
  "manifest-451": onManifest({ status: 451 }),
  "manifest-429": onManifest({ status: 429 }),
  "layer-401": onLayer({ status: 401 }),
  "layer-403": onLayer({ status: 403 }),
  "layer-400": onLayer({ status: 400 }),
  "layer-404": onLayer({ status: 404 }),
  "layer-405": onLayer({ status: 405 }),
  "layer-409": onLayer({ status: 409 }),
  "layer-410": onLayer({ status: 410 }),
  "layer-412": onLayer({ status: 412 }),
  "layer-451": onLayer({ status: 451 }),
  "store-400": store(400),
  "store-403": store(403),
  "store-404": store(404),
  "store-410": store(410),
  "store-429": store(429),
  "store-503": store(503),
  "store-no-such-host": storeAt("no-such-host"),
  "store-refused": storeAt("refused"),
  "store-unknown-ca": storeAt("unknown-ca"),
  "realm-no-such-host": realmAt("no-such-host"),
  "realm-refused": realmAt("refused"),
  "realm-unknown-ca": realmAt("unknown-ca"),
  "token-expired": onManifest({ status: 403, body: EXPIRED }),
  "foreign-login": behind((registry) => startForeignLogin(registry, "Negotiate")),
  "no-realm": behind((registry) => startForeignLogin(registry, 'Bearer service="rig"')),
  "redirect-loop": behind(startRedirectLoop),
  "size-zero": behind((registry) =>
    startAnnouncing(registry, { "content-length": "0", "docker-content-digest": `sha256:${"1".repeat(64)}` }),
  ),
  "digest-garbage": behind((registry) =>
    startAnnouncing(registry, { "content-length": "100", "docker-content-digest": "none" }),
  ),
  "not-http": behind((registry) => startRudeServer(registry, "not-http")),
  "not-tls": noTls,
  "mirror-lacks": lackedByMirror,
  "expected-manifest": mislabelled,
  "layer-encrypted": brokenLayer(
    (id) => gzipOf(someTar(id)),
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
  ),
  "layer-no-tar": brokenLayer((id) => gzipOf(id.repeat(1000))),
  "layer-no-gzip": brokenLayer((id) => Buffer.from(id.repeat(1000))),
  "layer-cut": brokenLayer((id) => gzipOf(someTar(id)).subarray(0, 200)),
  "config-no-json": unfit({ config: ["no object"] }),
  "layer-429": onLayer({ status: 429 }),
  "layer-429-wordy": onLayer(wordy),
  "manifest-500": onManifest({ status: 500 }),
  "manifest-502": onManifest({ status: 502 }),
  "manifest-503": onManifest({ status: 503 }),
  "manifest-504": onManifest({ status: 504 }),
  "layer-503": onLayer({ status: 503 }),
  refused,
  "no-such-host": noSuchHost,
  "reset-at-once": behind((registry) => startRudeServer(registry, "reset")),
  "eof-at-once": behind((registry) => startRudeServer(registry, "eof")),
  "layer-dropped": breaking("dropAfter"),
  "layer-reset": breaking("resetAfter"),
  "layer-truncated": breaking("truncateAfter"),
  "layer-corrupted": onLayer({ corruptAt: middle }),
  "unknown-ca": certificate("unknown-ca"),
  "wrong-name": certificate("wrong-name"),
  "expired-certificate": certificate("expired"),
  "not-yet-valid": certificate("not-yet-valid"),
  "negative-serial": certificate("negative-serial"),
  "no-common-cipher": certificate("no-common-cipher"),
  "old-protocol": certificate("old-protocol"),
  "wants-certificate": certificate("wants-certificate"),
  "ca-missing": hostsFile({ caFile: NO_FILE }),
  "ca-garbage": hostsFile({ caFile: NO_CERTIFICATE }),
  "client-missing": hostsFile({ clientFile: NO_FILE }),
  "client-garbage": hostsFile({ clientFile: NO_CERTIFICATE }),
  "http-for-https": httpForHttps,
  "https-for-http": httpsForHttp,
  "alert-for-http": alertForHttp,
  "never-answers": proxied(() => [{ hang: true }], { endless: true }),
  "layer-stalled": breaking("stallAfter", { endless: true }),
} as const satisfies Record<string, Stage>;

export type RegistryFault = keyof typeof registryFaults;

/** Not refused by every containerd: newer ones say that they pulled it. Recorded, and not in the matrix. */
export const artifacts = { chart, signature };

/** Takes a connection and never completes a TLS handshake; 50 s on containerd 2, so it is recorded but not in the matrix. */
export const silentTls: Stage = async ({ registry, containerd, cleanup }, id) => {
  const server = cleanup.use(await startRudeServer(registry, "silent"));
  await containerd.useHost(server.host, { server: `https://${server.host}` });
  return { reference: `${server.host}/faults/${id}:1`, asked: server.count, heal: server.heal };
};
