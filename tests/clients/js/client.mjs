#!/usr/bin/env node
// A client made of the npm library `sigstore`, for the stories: the command line of sigstore-conformance, which all
// library clients here speak.
//
//   client.mjs sign-bundle   [--in-toto] --identity-token T --bundle F --trusted-root R --signing-config S FILE
//   client.mjs verify-bundle --bundle F --certificate-identity I --certificate-oidc-issuer U --trusted-root R FILE
//   client.mjs verify-bundles --trusted-root R LIST
//
// The last is not the suite's: each line of LIST is a bundle, an identity, an issuer and a file, with tabs between, and gets
// a line of its own on standard output, `verified` or `refused` and why.
//
// `sigstore` itself writes to Rekor v1 alone and takes trust from TUF alone; for Rekor v2 and for a trusted root in a
// file this uses the packages that it is made of, as an application has to.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { bundleFromJSON, bundleToJSON } from '@sigstore/bundle';
import { SigningConfig, TrustedRoot } from '@sigstore/protobuf-specs';
import { bundleBuilderFromSigningConfig } from '@sigstore/sign';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import * as sigstore from 'sigstore';

const IN_TOTO = 'application/vnd.in-toto+json';

const { values: given, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bundle: { type: 'string' },
    'certificate-identity': { type: 'string' },
    'certificate-oidc-issuer': { type: 'string' },
    'identity-token': { type: 'string' },
    'in-toto': { type: 'boolean', default: false },
    'signing-config': { type: 'string' },
    'trusted-root': { type: 'string' },
  },
});
const [command, file] = positionals;
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));

async function signBundle() {
  const data = readFileSync(file);
  const config = SigningConfig.fromJSON(json(given['signing-config']));
  const token = given['identity-token'];
  const [log] = config.rekorTlogUrls;
  if (log.majorApiVersion === 1) {
    const services = {
      fulcioURL: config.caUrls[0].url,
      rekorURL: log.url,
      tsaServerURL: config.tsaUrls[0].url,
      identityToken: token,
    };
    return given['in-toto'] ? sigstore.attest(data, IN_TOTO, services) : sigstore.sign(data, services);
  }
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: config,
    identityProvider: { getToken: async () => token },
    bundleType: given['in-toto'] ? 'dsseEnvelope' : 'messageSignature',
  });
  return bundleToJSON(await builder.create({ data, type: IN_TOTO }));
}

let made;
function verifier() {
  if (!made) {
    const trust = toTrustMaterial(TrustedRoot.fromJSON(json(given['trusted-root'])));
    made = new Verifier(trust, { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 });
  }
  return made;
}

function verifyBundle(path, identity, issuer, artifact) {
  const bundle = bundleFromJSON(json(path));
  const data = readFileSync(artifact);
  verifier().verify(toSignedEntity(bundle, data), {
    subjectAlternativeName: identity,
    extensions: { issuer },
  });
  // It verifies an envelope's signature; which artifact the statement is about is for the application to compare.
  const envelope = bundle.content.dsseEnvelope;
  if (envelope) {
    const digest = createHash('sha256').update(data).digest('hex');
    const statement = JSON.parse(envelope.payload.toString('utf8'));
    if (!statement.subject?.some((subject) => subject.digest?.sha256 === digest)) {
      throw new Error(`the statement is about other artifacts than the one with sha256 ${digest}`);
    }
  }
}

function verifyBundles() {
  for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
    const row = line.split('\t');
    if (row.length !== 4) {
      throw new Error(`expected bundle, identity, issuer and file, got ${row.length} columns`);
    }
    try {
      verifyBundle(...row);
      console.log('verified');
    } catch (error) {
      console.log(`refused\t${error.message.replaceAll('\n', ' ')}`);
    }
  }
}

try {
  if (command === 'sign-bundle') {
    writeFileSync(given.bundle, JSON.stringify(await signBundle()));
  } else if (command === 'verify-bundle') {
    verifyBundle(given.bundle, given['certificate-identity'], given['certificate-oidc-issuer'], file);
  } else if (command === 'verify-bundles') {
    verifyBundles();
  } else {
    throw new Error(`expected sign-bundle, verify-bundle or verify-bundles, got ${command}`);
  }
} catch (error) {
  for (let cause = error; cause; cause = cause.cause) {
    console.error(`${cause.code ?? cause.name}: ${cause.message}`);
  }
  process.exit(1);
}
