export interface CriImage {
  id: string;
  repoTags: string[];
  repoDigests: string[];
  size: number;
  pinned: boolean;
}

interface RawImage {
  id: string;
  repoTags?: string[];
  repoDigests?: string[];
  size: string;
  pinned?: boolean;
}

/** `crictl images --output json`. */
export function parseCriImages(json: string): CriImage[] {
  const { images } = JSON.parse(json) as { images?: RawImage[] };
  return (images ?? []).map((image) => ({
    id: image.id,
    repoTags: image.repoTags ?? [],
    repoDigests: image.repoDigests ?? [],
    size: Number(image.size),
    pinned: image.pinned ?? false,
  }));
}

export interface ImageRecord {
  name: string;
  digest: string;
  labels: { [label: string]: string };
}

/** `ctr images ls`, whose columns are REF, TYPE, DIGEST, SIZE, PLATFORMS, LABELS: each record as it is, by its name. */
export function parseRecords(table: string): Map<string, ImageRecord> {
  const rows = table.split("\n").slice(1);
  return new Map(rows.filter((row) => row.trim() !== "").map(toRecord));
}

function toRecord(row: string): [string, ImageRecord] {
  const [name = "", , digest = ""] = row.split(/\s+/);
  return [name, { name, digest, labels: labelsOf(row) }];
}

// Labels stand last, comma separated; "-" when there is none. Values hold no blank: only digests and words are used.
function labelsOf(row: string): ImageRecord["labels"] {
  const last = row.trim().split(/\s+/).at(-1) ?? "-";
  if (last === "-") return {};
  return Object.fromEntries(
    last.split(",").map((label) => {
      const equals = label.indexOf("=");
      return equals < 0 ? [label, ""] : [label.slice(0, equals), label.slice(equals + 1)];
    }),
  );
}
