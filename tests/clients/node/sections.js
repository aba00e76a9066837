// What the programs of this folder share: sections, each printed under its name and compared between two servers.
// A section that throws prints one line "error: …" instead of its rest. With CLIENTS_SAMPLE set only sampled sections run.
'use strict';

const sections = [];

function section(name, f, { sample = false } = {}) {
  sections.push({ name, f, sample });
}

// text is a value with its JavaScript type, the same for equal values whichever server they came from.
function text(v) {
  if (v === null || v === undefined) return String(v);
  if (Buffer.isBuffer(v)) return `<${v.toString('hex')}>`;
  if (v instanceof Date) return `Date(${isNaN(v) ? 'invalid' : v.toISOString()})`;
  if (Array.isArray(v)) return `[${v.map(text).join(', ')}]`;
  if (typeof v === 'bigint') return `${v}n`;
  if (typeof v === 'object') {
    const name = v.constructor && v.constructor.name !== 'Object' ? v.constructor.name : '';
    return `${name}{${Object.keys(v).map((k) => `${k}: ${text(v[k])}`).join(', ')}}`;
  }
  return typeof v === 'string' ? JSON.stringify(v) : String(v);
}

function show(...values) {
  console.log('  ' + values.map(text).join('  '));
}

// raises shows the code of the error that a promise is rejected with; that it is not is shown, too.
async function raises(promise) {
  try {
    await promise;
    show('no error');
  } catch (e) {
    show(e.name === 'error' || e.name === 'PostgresError' ? 'error' : e.name, e.code, e.severity, e.constraint || e.constraint_name, e.position);
  }
}

async function main() {
  for (const { name, f, sample } of sections) {
    if (process.env.CLIENTS_SAMPLE && !sample) continue;
    console.log('== ' + name);
    try {
      await f();
    } catch (e) {
      console.log(`error: ${e.name} ${e.code || '-'} ${String(e.message).split('\n')[0]}`);
    }
  }
  process.exit(0);
}

module.exports = { section, show, raises, main };
