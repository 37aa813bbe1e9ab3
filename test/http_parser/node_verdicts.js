// What node's parser of HTTP makes of streams of requests: input and output as of verdicts.c, but
// that no request has a START. A stream goes through as a whole. usage: node node_verdicts.js <FILE
'use strict';
const fs = require('fs');

// The only place where the names of all its numbers of methods stand.
process.noDeprecation = true;
const binding = process.binding('http_parser');
const { HTTPParser } = binding;
// Before version 20 PRI is the only one without a name.
const methods = binding.allMethods || binding.methods.concat('PRI');

// Above any head that is compared; node's own limit is not the question here.
const HEAD_BYTES_MAX = 1 << 20;

function hex(bytes) {
    return Buffer.from(bytes, 'latin1').toString('hex');
}

// In trailers node listens to this, too.
function saysClose(lines) {
    return lines.some((line, i) => i % 2 === 0 && line.toLowerCase() === 'connection' &&
                      /(^|,)[ \t]*close[ \t]*(,|$)/i.test(lines[i + 1]));
}

function verdict(stream) {
    const requests = [];
    let lines = []; // fields that came ahead of the end of their section
    let url = '';
    let open = null;
    let end = 'head';
    const parser = new HTTPParser();
    parser.initialize(HTTPParser.REQUEST, {}, HEAD_BYTES_MAX, HTTPParser.kLenientNone);
    parser[HTTPParser.kOnHeaders] = (more, target) => {
        lines.push(...more);
        url += target;
    };
    parser[HTTPParser.kOnHeadersComplete] = (major, minor, rest, method, target, status, reason,
                                             upgrade, keepsAlive) => {
        const fields = lines.concat(rest === undefined ? [] : rest);
        open = [null, hex(methods[method]), hex(target === undefined ? url : target), minor,
                fields.map(hex), keepsAlive, [], []];
        requests.push(open);
        if (upgrade)
            end = 'switched';
        lines = [];
        url = '';
    };
    parser[HTTPParser.kOnBody] = (bytes, offset, length) => {
        open[6].push(length === undefined ? bytes : bytes.subarray(offset, offset + length));
    };
    parser[HTTPParser.kOnMessageComplete] = () => {
        open[7] = lines.map(hex);
        if ((!open[5] || saysClose(lines)) && end === 'head')
            end = 'closed';
        open = null;
        lines = [];
        url = '';
    };
    const result = parser.execute(stream);
    parser.close();
    for (const request of requests)
        request[6] = Buffer.concat(request[6]).toString('hex');
    // This is no fault: what follows the last request is for nobody.
    const isClosed = result.code === 'HPE_CLOSED_CONNECTION';
    const isRefused = result instanceof Error && !isClosed;
    if (isClosed)
        end = 'closed';
    if (open !== null)
        end = 'body';
    return {requests, is_open: open !== null, end, status: isRefused ? 400 : 0,
            fault: isRefused ? `${result.code}: ${result.reason}` : '', left: 0};
}

const input = fs.readFileSync(0);
const said = [];
for (let at = 0; at < input.length;) {
    const n = input.readUInt32LE(at);
    said.push(JSON.stringify(verdict(input.subarray(at + 4, at + 4 + n))));
    at += 4 + n;
}
process.stdout.write(said.join('\n') + '\n');
