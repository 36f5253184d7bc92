// Computes the inclusion proof of an entry's page again, from the leaf that the page holds to the root of its checkpoint
// (RFC 9162 section 2.1.3.2). Without it, or without crypto.subtle on a page that came over plain HTTP, nothing is missing
// but this second opinion.
"use strict";

const octets = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const hash = async (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
};

async function root(leaf, index, size, hashes) {
  const node = (left, right) => hash(Uint8Array.of(1), left, right);
  let place = BigInt(index);
  let last = BigInt(size) - 1n;
  let sum = await hash(Uint8Array.of(0), leaf);
  for (const sibling of hashes) {
    if (last === 0n) return null;
    if ((place & 1n) === 1n || place === last) {
      sum = await node(sibling, sum);
      while ((place & 1n) === 0n && place !== 0n) {
        place >>= 1n;
        last >>= 1n;
      }
    } else {
      sum = await node(sum, sibling);
    }
    place >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? hex(sum) : null;
}

const line = document.getElementById("recomputed");
if (line && globalThis.crypto?.subtle) {
  const { leaf, index, size, hashes, root: expected } = line.dataset;
  const bytes = Uint8Array.from(atob(leaf), (char) => char.charCodeAt(0));
  const siblings = hashes.split(" ").filter(Boolean).map(octets);
  root(bytes, index, size, siblings).then((got) => {
    line.className = got === expected ? "good" : "warn";
    line.textContent = got === expected
      ? "Your browser computed the same root from the entry and these hashes."
      : "Your browser does NOT get this root from the entry and these hashes: do not believe this page.";
  });
}
