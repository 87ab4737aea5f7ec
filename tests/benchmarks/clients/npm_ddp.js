'use strict';
// npm's `ddp`, for the benchmarks: node npm_ddp.js URL once|items|plain|calls [N]
const DDPClient = require('ddp');

const [url, task, n] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const client = new DDPClient({ url, autoReconnect: false });

// Print the time first. When the input ends, the benchmark has read the memory of this process, and the items can be counted.
function report(started, count) {
  console.log(Number(process.hrtime.bigint() - started) / 1e9);
  process.stdin.on('end', () => {
    console.log(count());
    client.close();
  }).resume();
}

const tasks = {
  once() {
    client.call('upper', ['Hello'], (error, result) => {
      console.log(JSON.stringify(result));
      client.close();
    });
  },
  items() {
    const started = process.hrtime.bigint();
    client.subscribe(task, [n], () => report(started, () => Object.keys(client.collections.items).length));
  },
  calls() {
    const started = process.hrtime.bigint();
    let done = 0;
    for (let i = 0; i < n; i++) {
      client.call('echo', [i], (error, result) => {
        if (result[0] === i && ++done === n) report(started, () => done);
      });
    }
  },
};
tasks.plain = tasks.items;

client.connect((error) => {
  if (error) throw error;
  tasks[task]();
});
