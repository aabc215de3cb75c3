// Node's own http2 against the gRPC lane: node http2.js HOST:PORT FRAMED_REQUEST FRAMED_ANSWER
// Sends the same call many times, with the small windows that Node begins with.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http2 = require("node:http2");

const CALLS = 1000;
const [address, requestFile, answerFile] = process.argv.slice(2);
const request = fs.readFileSync(requestFile);
const answer = fs.readFileSync(answerFile);
const session = http2.connect(`http://${address}`);

function call() {
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
    stream.on("error", reject);
    stream.on("close", () => resolve({ body: Buffer.concat(parts), status: trailers["grpc-status"] }));
    stream.end(request);
  });
}

async function main() {
  for (const { body, status } of await Promise.all(Array.from({ length: CALLS }, call))) {
    assert.equal(status, "0");
    assert.ok(body.equals(answer));
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
}).finally(() => session.close());
