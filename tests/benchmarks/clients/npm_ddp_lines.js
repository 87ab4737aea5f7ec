'use strict';
// The same output as `ddp sub plain N`, with npm's `ddp`: node npm_ddp_lines.js URL PUBLICATION N
const DDPClient = require('ddp');

const [url, name, n] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const client = new DDPClient({ url, autoReconnect: false });

// These documents have no dates, so they are plain JSON in the client.
client.connect((error) => {
  if (error) throw error;
  client.subscribe(name, [n], () => {
    const lines = [];
    for (const { _id, ...fields } of Object.values(client.collections.items)) {
      lines.push(JSON.stringify({ msg: 'added', collection: 'items', id: _id, fields }));
    }
    process.stdout.write(`${lines.join('\n')}\n`, () => client.close());
  });
});
