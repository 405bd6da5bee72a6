// Takes out of a message what differs from one recording to the next, and nothing that could tell a class.

const replacements: readonly (readonly [RegExp, string])[] = [
  [/\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)/gu, "2026-01-01T00:00:00Z"],
  // klog: level and date, time, process.
  [/^(?<level>[EWIF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ /gmu, "$<level>0101 00:00:00.000000       1 "],
  [/\b[a-f0-9]{64}\b/gu, "0".repeat(64)],
  [/127\.0\.0\.1:\d+/gu, "127.0.0.1:5000"],
  // The machine's name server.
  [/ on \[?[\d.:a-f]+\]?:53\b/gu, " on 127.0.0.53:53"],
  [/read udp [\d.:]+->[\d.:]+/gu, "read udp 127.0.0.1:5000->127.0.0.53:53"],
  // How much had arrived when the connection went.
  [/got \d+\b/gu, "got 200000"],
  [/(?<mount>containerd-mount|new-|extract-)\d[\w-]*/gu, "$<mount>1"],
  [/(?<before>files-many\/)\d+/gu, "$<before>1"],
  [/(?<before>snapshots\/)\d+/gu, "$<before>1"],
];

/** @param folder of the containerd that it comes from */
export function normalise(text: string, folder: string): string {
  const placed = text
    .replaceAll(`${folder}/c.sock`, "/run/containerd/containerd.sock")
    .replaceAll(folder, "/var/lib/containerd");
  return replacements.reduce((result, [pattern, by]) => result.replace(pattern, by), placed);
}
