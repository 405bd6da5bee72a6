import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { run } from "./run.ts";

export interface Certificate {
  caFile: string;
  certFile: string;
  keyFile: string;
}

export interface CertificateOptions {
  /** X.509 subject alternative names, in openssl's notation. */
  names?: string;
  expired?: boolean;
}

const loopback = "IP:127.0.0.1,DNS:localhost";

/** A server certificate with an authority of its own, made in a folder by openssl. */
export async function makeCertificate(
  folder: string,
  options: CertificateOptions = {},
): Promise<Certificate> {
  await mkdir(folder, { recursive: true });
  const file = (name: string): string => path.join(folder, name);
  const openssl = (args: string): Promise<string> => run("openssl", args.split(" "), { cwd: folder });
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  const days = options.expired === true ? "-1" : "2";
  await writeFile(file("server.ext"), `subjectAltName=${options.names ?? loopback}\n`);
  await openssl(`req -x509 ${newKey} -days 2 -subj /CN=rig-authority -keyout ca.key -out ca.crt`);
  await openssl(`req -new ${newKey} -subj /CN=rig-server -keyout server.key -out server.csr`);
  // No date in the past can be set here before openssl 3.4, but a negative number of days is taken.
  await openssl(
    `x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days ${days} -extfile server.ext -out server.crt`,
  );
  return { caFile: file("ca.crt"), certFile: file("server.crt"), keyFile: file("server.key") };
}
