// Measures gpt-tokenizer for tokens.py: node tokens.mjs MODULES ENCODING PASSES FILE…
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';

const [modules, encoding, passes, ...files] = process.argv.slice(2);
const require = createRequire(join(modules, 'package.json'));
const loading = performance.now();
const tokenizer = require(`gpt-tokenizer/encoding/${encoding}`);
const loadMs = performance.now() - loading;
const { version } = JSON.parse(readFileSync(join(modules, 'node_modules/gpt-tokenizer/package.json'), 'utf8'));
console.log(JSON.stringify({ load_ms: loadMs, version, resident_mb: process.memoryUsage().rss / 1e6 }));

const SIZE = 16384;

// As in core/examples/tokens_bench.rs.
function batches(texts) {
  const out = [];
  let size = SIZE;
  for (const text of texts) {
    let rest = Buffer.from(text);
    while (rest.length > 0) {
      let n = Math.min(SIZE, rest.length);
      while (n < rest.length && (rest[n] & 0xc0) === 0x80) n--;
      if (size >= SIZE) {
        out.push([]);
        size = 0;
      }
      size += n;
      out.at(-1).push(rest.subarray(0, n).toString());
      rest = rest.subarray(n);
    }
  }
  return out;
}

function pass(parts, best) {
  let tokens = 0;
  parts.forEach((part, i) => {
    const start = performance.now();
    for (const text of part) tokens += tokenizer.countTokens(text);
    best[i] = Math.min(best[i], performance.now() - start);
  });
  return tokens;
}

for (const file of files) {
  const text = readFileSync(file, 'utf8');
  const parts = batches(file.endsWith('.json') ? JSON.parse(text) : [text]);
  const bytes = parts.flat().reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  const cold = parts.map(() => Infinity);
  const warm = parts.map(() => Infinity);
  let tokens = 0;
  pass(parts, cold.slice()); // compiled by now
  for (let i = 0; i < Number(passes); i++) {
    tokenizer.clearMergeCache();
    tokens = pass(parts, cold);
    pass(parts, warm);
  }
  const rate = (best) => bytes / best.reduce((a, b) => a + b, 0) / 1e3;
  console.log(JSON.stringify({ file: basename(file), bytes, tokens, cold_mb_s: rate(cold), warm_mb_s: rate(warm) }));
}
