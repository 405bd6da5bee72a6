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
  /** When it is valid, if not now. */
  valid?: "in the past" | "in the future";
  serial?: number;
}

const AUTHORITY = `[rig]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
`;

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
  const days = options.valid === "in the past" ? "-1" : "2";
  await writeFile(file("server.ext"), `subjectAltName=${options.names ?? loopback}\n`);
  await openssl(`req -x509 ${newKey} -days 2 -subj /CN=rig-authority -keyout ca.key -out ca.crt`);
  await openssl(`req -new ${newKey} -subj /CN=rig-server -keyout server.key -out server.csr`);
  const from = `-in server.csr -extfile server.ext -out server.crt`;
  if (options.valid === "in the future") {
    await writeFile(file("index.txt"), "");
    await writeFile(file("ca.cnf"), AUTHORITY);
    const dates = "-startdate 20980101000000Z -enddate 20990101000000Z";
    await openssl(`ca -batch -config ca.cnf -name rig -cert ca.crt -keyfile ca.key ${dates} -notext ${from}`);
  } else {
    // No date in the past can be set here before openssl 3.4, but a negative number of days is taken.
    const serial = options.serial ?? 1;
    await openssl(`x509 -req -CA ca.crt -CAkey ca.key -set_serial ${serial} -days ${days} ${from}`);
  }
  return { caFile: file("ca.crt"), certFile: file("server.crt"), keyFile: file("server.key") };
}
