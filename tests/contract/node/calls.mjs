// Makes calls with OpenAI's Node client and tells what came of them.
//
// stdin:  {"url": ..., "key": ..., "calls": [{"do": "chat", "ask": {...}, "options": {...}}, ...]}
// stdout: {"results": [...], "exchanges": [...]}
//
// A result is {"value": ...} or {"error": {...}}, in the order of the calls, which are made one by one. An
// exchange is one HTTP request with all that it was answered, byte for byte.

import OpenAI from "openai";

const exchanges = [];

async function taped(url, init) {
  const response = await fetch(url, init);
  const { status, headers } = response;
  const pieces = [];
  const seen = { path: new URL(url).pathname, asked: init.body ?? "", status, headers: Object.fromEntries(headers), pieces };
  exchanges.push(seen);
  const tap = new TransformStream({
    transform(piece, on) {
      pieces.push(piece);
      on.enqueue(piece);
    },
  });
  return new Response(response.body?.pipeThrough(tap), { status, headers });
}

async function collected(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

async function helped(client, ask) {
  const kinds = new Set();
  const stream = client.chat.completions.stream(ask);
  for (const kind of ["content.delta", "content.done", "tool_calls.function.arguments.done", "error"]) {
    stream.on(kind, () => kinds.add(kind));
  }
  return { completion: await stream.finalChatCompletion(), kinds: [...kinds] };
}

// What a call may do; every later surface of the client gets its line here.
const VERBS = {
  chat: (client, ask) => client.chat.completions.create(ask),
  stream: async (client, ask) => collected(await client.chat.completions.create({ ...ask, stream: true })),
  helper: helped,
  embeddings: (client, ask) => client.embeddings.create(ask),
  models: (client) => collected(client.models.list()),
  model: (client, ask) => client.models.retrieve(ask),
};

async function made(client, call) {
  try {
    return { value: await VERBS[call.do](client.withOptions(call.options ?? {}), call.ask) };
  } catch (error) {
    const { status, code, param, type, message, requestID } = error;
    return { error: { class: error.constructor.name, status, code, param, type, message, requestID } };
  }
}

let text = "";
for await (const piece of process.stdin) text += piece;
const { url, key, calls } = JSON.parse(text);
const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0, fetch: taped });
const results = [];
for (const call of calls) results.push(await made(client, call));
const told = exchanges.map(({ pieces, ...seen }) => ({ ...seen, said: Buffer.concat(pieces).toString() }));
process.stdout.write(JSON.stringify({ results, exchanges: told }));
