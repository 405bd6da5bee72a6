// Version and commit. The build defines IMPORT_IMAGES_BUILD, which does not exist when run from source.
import manifest from "#package" with { type: "json" };

declare const IMPORT_IMAGES_BUILD: { readonly version: string; readonly commit: string } | undefined;

export const build =
  typeof IMPORT_IMAGES_BUILD === "undefined"
    ? { version: manifest.version, commit: "source" }
    : IMPORT_IMAGES_BUILD;
