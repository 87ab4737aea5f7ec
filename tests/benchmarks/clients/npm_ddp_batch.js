'use strict';
// The same work as `ddp batch FILE -j JOBS`, with npm's `ddp`: node npm_ddp_batch.js URL FILE JOBS
const fs = require('fs');
const readline = require('readline');
const DDPClient = require('ddp');

const [url, file, jobs] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const client = new DDPClient({ url, autoReconnect: false });
const waiting = [];
const answers = new Map();
let input;
let printed = 0;
let started = 0;
let underWay = 0;
let isAtEnd = false;
let isDue = false;

function start() {
  while (underWay < jobs && waiting.length) {
    const line = ++started;
    const [method, ...params] = JSON.parse(waiting.shift());
    underWay += 1;
    client.call(method, params, (error, result) => {
      underWay -= 1;
      answers.set(line, JSON.stringify(error ? { line, error } : { line, result }));
      start();
      // Answers that arrive together are written together.
      if (!isDue) setImmediate(print);
      isDue = true;
    });
  }
  if (waiting.length < jobs) input.resume();
}

function print() {
  isDue = false;
  let text = '';
  for (let answer; (answer = answers.get(printed + 1)) !== undefined; answers.delete(printed)) {
    text += `${answer}\n`;
    printed += 1;
  }
  process.stdout.write(text);
  if (isAtEnd && printed === started && !waiting.length) client.close();
}

client.connect((error) => {
  if (error) throw error;
  input = readline.createInterface({ input: fs.createReadStream(file) });
  input.on('line', (line) => {
    waiting.push(line);
    if (waiting.length > 10 * jobs) input.pause();
    start();
  });
  input.on('close', () => {
    isAtEnd = true;
    print();
  });
});
