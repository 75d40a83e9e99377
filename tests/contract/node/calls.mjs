// Makes calls with OpenAI's Node client and tells what came of them.
//
// stdin:  {"url": ..., "key": ..., "calls": [{"do": "chat", "ask": {...}, "options": {...}}, ...]}
// stdout: {"results": [...], "exchanges": [...]}
//
// A result is {"value": ...} or {"error": {...}}, in the order of the calls, which are made one by one. An
// exchange is one HTTP request with all that it was answered, byte for byte.

import OpenAI, { toFile } from "openai";

const exchanges = [];

async function taped(url, init) {
  const response = await fetch(url, init);
  const { status, headers } = response;
  const pieces = [];
  const seen = { path: new URL(url).pathname, asked: typeof init.body === "string" ? init.body : "", status, headers: Object.fromEntries(headers), pieces };
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

async function clip(base64, ask) {
  return base64 ? toFile(Buffer.from(base64, "base64"), "source.mp4", { type: "video/mp4" }) : ask.video;
}

// What a call may do; every later surface of the client gets its line here.
const VERBS = {
  chat: (client, ask) => client.chat.completions.create(ask),
  stream: async (client, ask) => collected(await client.chat.completions.create({ ...ask, stream: true })),
  helper: helped,
  embeddings: (client, ask) => client.embeddings.create(ask),
  models: (client) => collected(client.models.list()),
  model: (client, ask) => client.models.retrieve(ask),
  video_methods: (client) => Object.getOwnPropertyNames(Object.getPrototypeOf(client.videos)),
  video_create: (client, ask) => client.videos.create(ask),
  video_retrieve: (client, ask) => client.videos.retrieve(ask),
  video_list: (client, ask) => collected(client.videos.list(ask)),
  video_delete: (client, ask) => client.videos.delete(ask),
  video_remix: (client, { id, ...ask }) => client.videos.remix(id, ask),
  video_edit: async (client, { base64, ...ask }) => client.videos.edit({ ...ask, video: await clip(base64, ask) }),
  video_extend: async (client, { base64, ...ask }) => client.videos.extend({ ...ask, video: await clip(base64, ask) }),
  video_content: async (client, ask) => {
    const answer = await client.videos.downloadContent(ask);
    return Buffer.from(await answer.arrayBuffer()).toString("base64");
  },
  file_create: async (client, { text, ...ask }) => client.files.create({ ...ask, file: await toFile(Buffer.from(text), "rows.jsonl") }),
  file_retrieve: (client, ask) => client.files.retrieve(ask),
  file_list: (client, ask) => collected(client.files.list(ask)),
  file_content: async (client, ask) => (await client.files.content(ask)).text(),
  file_delete: (client, ask) => client.files.delete(ask),
  batch_create: (client, ask) => client.batches.create(ask),
  batch_retrieve: (client, ask) => client.batches.retrieve(ask),
  batch_list: (client, ask) => collected(client.batches.list(ask)),
  batch_cancel: (client, ask) => client.batches.cancel(ask),
  character_create: async (client, { base64, ...ask }) => client.videos.createCharacter({ ...ask, video: await clip(base64, ask) }),
  character_get: (client, ask) => client.videos.getCharacter(ask),
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
