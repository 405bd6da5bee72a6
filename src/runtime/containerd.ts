// The real container runtime: crictl for what CRI can do, ctr for the rest.
import type { Config } from "../config/config.ts";
import type { RunCommand } from "./command.ts";
import { crictlClient } from "./crictl.ts";
import { ctrClient } from "./ctr.ts";
import type { ContentStore, ImageRuntime } from "./image-runtime.ts";

type Settings = Pick<Config, "containerd" | "allowCredentialsInArgv">;

export const containerdRuntime = (run: RunCommand, settings: Settings): ImageRuntime & ContentStore => ({
  ...crictlClient(run, { ...settings.containerd, allowCredentialsInArgv: settings.allowCredentialsInArgv }),
  ...ctrClient(run, settings.containerd),
});
