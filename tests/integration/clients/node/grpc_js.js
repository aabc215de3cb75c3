// @grpc/grpc-js against the gRPC lane: node grpc_js.js HOST:PORT OPEN_INFERENCE_PROTO [SECONDS]
// Ends with code 0, or throws what was not as it should be. With SECONDS it only asks and asks for so long: the server
// is expected to end the connections meanwhile.
"use strict";

const assert = require("node:assert/strict");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const CALLS = 2000;
const IN_FLIGHT = 50;
const STREAMED = 300;
const LARGE_BYTES = 50 << 20;

const [address, proto, seconds] = process.argv.slice(2);
const services = grpc.loadPackageDefinition(loader.loadSync(proto, { keepCase: true, longs: Number }));
const client = new services.inference.GRPCInferenceService(address, grpc.credentials.createInsecure(), {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
});

function request(raw) {
  const input = { name: "x", datatype: "FP32", shape: [1, raw.length / 4] };
  return { model_name: "echo", inputs: [input], raw_input_contents: [raw] };
}

function row(number) {
  return Buffer.from(new Float32Array([number, -number]).buffer);
}

function infer(raw) {
  return new Promise((resolve, reject) => {
    client.ModelInfer(request(raw), { deadline: Date.now() + 60000 }, (error, answer) =>
      error ? reject(error) : resolve(answer.raw_output_contents[0]));
  });
}

async function manyCalls(goesOn = (asked) => asked < CALLS) {
  let next = 0;
  async function caller() {
    while (goesOn(next)) {
      const raw = row(next++);
      assert.deepEqual(await infer(raw), raw);
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
}

async function stream() {
  const call = client.ModelStreamInfer();
  for (let number = 0; number < STREAMED; number++) call.write(request(row(number)));
  call.end();
  let number = 0;
  for await (const answer of call) {
    assert.deepEqual(answer.infer_response.raw_output_contents[0], row(number++));
  }
  assert.equal(number, STREAMED);
}

async function largeMessage() {
  const raw = Buffer.alloc(LARGE_BYTES, "rapide01");
  assert.ok((await infer(raw)).equals(raw));
}

async function errors() {
  const unknown = new Promise((resolve) => client.ModelInfer({ model_name: "nobody" }, resolve));
  assert.equal((await unknown).code, grpc.status.NOT_FOUND);
}

async function main() {
  if (seconds) {
    const until = Date.now() + 1000 * seconds;
    await manyCalls(() => Date.now() < until);
    return client.close();
  }
  for (const test of [manyCalls, stream, largeMessage, errors]) await test();
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
  client.close();
});
