'use strict';
// Makes one call with the vendor's SDK, as told on standard input, and prints what its caller would have in hand.
const fs = require('fs');
const { Client, SimpleClient } = require('aliyun-api-gateway');

async function main() {
  const told = JSON.parse(fs.readFileSync(0, 'utf8'));
  const client = told.appCode ? new SimpleClient(told.appCode) : new Client(told.key, told.secret, told.stage);
  try {
    const result = await client[told.method](told.url, { timeout: 10000, ...told.opts });
    fs.writeSync(1, JSON.stringify({ result }));
  } catch (error) {
    const headers = error.data && error.data.headers;
    fs.writeSync(1, JSON.stringify({ error: { code: error.code, message: error.message, headers } }));
  }
}

// After an error the SDK leaves its connection open, and node would wait for it.
main().then(() => process.exit(0));
