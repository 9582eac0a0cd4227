// How parsers that Node programs use read parameters: JSON list of base64 on standard input, list of readings out.
const qs = require("qs");
const querystring = require("node:querystring");

const sort = (value) => {
  if (Array.isArray(value)) return value.map(sort);
  if (value === null || typeof value !== "object") return value;
  return Object.keys(value).sort().map((key) => [key, sort(value[key])]);
};

const read = (bytes) => {
  const text = bytes.toString("latin1"); // as node:http gives a URL, a byte a character
  return {
    URLSearchParams: [...new URLSearchParams(text)].sort((a, b) => (a[0] < b[0] ? -1 : 1)),
    URL: [...new URL(`http://a/?${text}`).searchParams].sort((a, b) => (a[0] < b[0] ? -1 : 1)),
    querystring: sort({ ...querystring.parse(text) }),
    qs: sort(qs.parse(text)),
  };
};

let input = "";
process.stdin.on("data", (chunk) => (input += chunk));
process.stdin.on("end", () => {
  const texts = JSON.parse(input).map((one) => Buffer.from(one, "base64"));
  process.stdout.write(JSON.stringify(texts.map(read)));
});
