// Node's own http2 against the gRPC lane: node http2.js HOST:PORT FRAMED_REQUEST FRAMED_ANSWER [SECONDS]
// Sends the same call many times, with the small windows that Node begins with. With SECONDS it asks for so long, on a
// new session whenever the server has said GOAWAY: what was asked before must still be answered.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http2 = require("node:http2");

const REFUSED = http2.constants.NGHTTP2_REFUSED_STREAM;
const CALLS = 1000;
const IN_FLIGHT = 20;
const [address, requestFile, answerFile, seconds] = process.argv.slice(2);
const request = fs.readFileSync(requestFile);
const answer = fs.readFileSync(answerFile);
let session = http2.connect(`http://${address}`);

function call() {
  if (session.closed || session.destroyed) session = http2.connect(`http://${address}`);
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ":method": "POST",
      ":path": "/inference.GRPCInferenceService/ModelInfer",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const parts = [];
    let trailers = {};
    stream.on("data", (part) => parts.push(part));
    stream.on("trailers", (fields) => { trailers = fields; });
    stream.on("error", (error) => { if (stream.rstCode !== REFUSED) reject(error); });
    stream.on("close", () => {
      // What was queued while GOAWAY came is refused by the session itself, unsent: ask again (RFC 9113, 8.7).
      if (stream.rstCode === REFUSED) resolve(call());
      else if (stream.rstCode) reject(new Error(`the stream was reset: ${stream.rstCode}`));
      else resolve({ body: Buffer.concat(parts), status: trailers["grpc-status"] });
    });
    stream.end(request);
  });
}

function check({ body, status }) {
  assert.equal(status, "0");
  assert.ok(body.equals(answer));
}

async function main() {
  if (!seconds) return (await Promise.all(Array.from({ length: CALLS }, call))).forEach(check);
  const until = Date.now() + 1000 * seconds;
  async function caller() {
    while (Date.now() < until) check(await call());
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
}).finally(() => session.close());
