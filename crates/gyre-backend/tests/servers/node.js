// A model server for tests in another language than Python: V2 for y = 3 x, and an answer in pieces.
const http = require("node:http");

// Whether a caller went away in the middle of the pieces.
let gone = false;

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const answer = (status, body) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (request.url === "/v2/models/n/ready") return answer(200, {});
    if (request.url === "/echo") {
      const { authorization, cookie, "x-caller": caller } = request.headers;
      return answer(418, { method: request.method, authorization, cookie, caller, body: Buffer.concat(chunks).toString() });
    }
    if (request.url === "/pieces") {
      // The next piece comes only when the client says, by a request of its own, that it has seen the last.
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("one");
      server.once("next", () => response.end("two"));
      response.once("close", () => { gone = !response.writableFinished; server.emit("gone"); });
      return;
    }
    if (request.url === "/gone") {
      if (gone) return answer(200, {});
      server.once("gone", () => answer(200, {}));
      return;
    }
    if (request.url === "/next") {
      server.emit("next");
      return answer(200, {});
    }
    if (request.url !== "/v2/models/n/infer") return answer(404, { error: "not here" });
    const [x] = JSON.parse(Buffer.concat(chunks)).inputs;
    const data = x.data.map((value) => 3 * value);
    answer(200, { model_name: "n", outputs: [{ name: "out", datatype: "FP64", shape: [data.length], data }] });
  });
});

const [socket] = process.argv.slice(2);
server.listen(socket ?? process.env.PORT, socket ? undefined : "127.0.0.1");
