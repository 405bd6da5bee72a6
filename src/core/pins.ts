// Pins: one record of our own per image, which no other client's pull or tag removes. Deleting it unpins the image.
import type { Descriptor, ImageRecord, Node } from "./node.ts";

/** CRI's own label: the kubelet's garbage collection skips an image if any of its records has it. */
const PINNED = { label: "io.cri-containerd.pinned", value: "pinned" };
/**
 * No pull can ever ask a `.invalid` host, and a digest reference adds no tag. A pod's `imageID` is the alphabetically
 * first name by digest, so it may be this one; its digest is correct anyway.
 */
const PIN_PREFIX = "import-images.invalid/pin@";

export const pinName = ({ digest }: Descriptor): string => `${PIN_PREFIX}${digest}`;
export const isPinName = (name: string): boolean => name.startsWith(PIN_PREFIX);
export const isPin = ({ name }: ImageRecord): boolean => isPinName(name);

/** On the pin of an image from an archive: the pin stays while the archive is listed but cannot be read. */
const ARCHIVE = "io.import-images.archive";
/** Characters. containerd accepts labels of up to 4,096 bytes. */
const LONGEST_PATH = 1_000;

/** @param archive path of the archive that the image came from */
export const pinRecord = (target: Descriptor, archive = ""): ImageRecord => ({
  name: pinName(target),
  labels: {
    [PINNED.label]: PINNED.value,
    ...(archive !== "" && archive.length <= LONGEST_PATH && { [ARCHIVE]: archive }),
  },
  target,
});

/** Empty for an image from a registry, or if the path was too long for a label. */
export const archiveOfPin = ({ labels }: ImageRecord): string => labels[ARCHIVE] ?? "";

/** Checks the label too, because someone may have removed it. */
export function isPinned({ records }: Pick<Node, "records">, target: Descriptor): boolean {
  const pin = records.get(pinName(target));
  return pin?.target.digest === target.digest && pin.labels[PINNED.label] === PINNED.value;
}

/** The image's other names, for messages; its digest if it has none. */
export const namesOfPin = ({ records }: Node, pin: ImageRecord): string => {
  const tags = [...records.values()]
    .filter(({ target }) => target.digest === pin.target.digest)
    .map(({ name }) => name)
    .filter((name) => name.includes(":") && !name.includes("@") && !name.startsWith("sha256:"));
  return tags.length === 0 ? pin.target.digest : tags.join(", ");
};
