// Pins: one image record of our own for each image, which nobody's pull or tag takes away. Deleting it unpins.
import type { Descriptor, ImageRecord, Node } from "./node.ts";

/** CRI's own label: the kubelet's garbage collection passes over an image of which any record carries it. */
const PINNED = { label: "io.cri-containerd.pinned", value: "pinned" };
/**
 * `.invalid` is no host that a pull could ever ask; a digest reference gives the image no further tag. A pod's `imageID` is
 * the alphabetically first name by digest, so it may be this one; the digest in it is right all the same.
 */
const PIN_PREFIX = "import-images.invalid/pin@";

export const pinName = ({ digest }: Descriptor): string => `${PIN_PREFIX}${digest}`;
export const isPinName = (name: string): boolean => name.startsWith(PIN_PREFIX);
export const isPin = ({ name }: ImageRecord): boolean => isPinName(name);

/** On the pin of an image that came from an archive: it stays while the archive is listed and cannot be read. */
const ARCHIVE = "io.import-images.archive";
/** Characters; containerd takes 4,096 bytes of a label. */
const LONGEST_PATH = 1_000;

/** @param archive the path of the archive from which the image came */
export const pinRecord = (target: Descriptor, archive = ""): ImageRecord => ({
  name: pinName(target),
  labels: {
    [PINNED.label]: PINNED.value,
    ...(archive !== "" && archive.length <= LONGEST_PATH && { [ARCHIVE]: archive }),
  },
  target,
});

/** Empty for an image that came from a registry. */
export const archiveOfPin = ({ labels }: ImageRecord): string => labels[ARCHIVE] ?? "";

/** Whether our record pins the image; somebody may have taken its label. */
export function isPinned({ records }: Pick<Node, "records">, target: Descriptor): boolean {
  const pin = records.get(pinName(target));
  return pin?.target.digest === target.digest && pin.labels[PINNED.label] === PINNED.value;
}

/** Names that an image has beside its pin, for a person; its digest when it has none. */
export const namesOfPin = ({ records }: Node, pin: ImageRecord): string => {
  const tags = [...records.values()]
    .filter(({ target }) => target.digest === pin.target.digest)
    .map(({ name }) => name)
    .filter((name) => name.includes(":") && !name.includes("@") && !name.startsWith("sha256:"));
  return tags.length === 0 ? pin.target.digest : tags.join(", ");
};
