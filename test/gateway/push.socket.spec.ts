import { describe, expect, test } from '@jest/globals';
import { suitableExtensions } from '../../src/gateway/push.socket.js';

const DEFLATE = 'permessage-deflate';

describe('the offers of extensions that shared frames suit', () => {
  test.each([
    ['nothing', '', ''],
    ['as ws offers it', `${DEFLATE}; client_max_window_bits`, `${DEFLATE}; client_max_window_bits`],
    ['no parameters', DEFLATE, DEFLATE],
    ['our own window', `${DEFLATE}; server_max_window_bits=12`, `${DEFLATE}; server_max_window_bits=12`],
    ['a larger window', `${DEFLATE}; server_max_window_bits=15`, `${DEFLATE}; server_max_window_bits=15`],
    ['a smaller one', `${DEFLATE}; server_max_window_bits=11`, ''],
    ['the smallest', `${DEFLATE}; server_max_window_bits=8`, ''],
    ['a smaller one among others', `${DEFLATE}; server_no_context_takeover; server_max_window_bits=9`, ''],
    ['in quotes', `${DEFLATE}; server_max_window_bits="9"`, ''],
    ['with blanks', `${DEFLATE}; server_max_window_bits = 9`, ''],
    ['in another case', `${DEFLATE}; Server_Max_Window_Bits=9`, ''],
    ['a small window of its own', `${DEFLATE}; client_max_window_bits=8`, `${DEFLATE}; client_max_window_bits=8`],
    ['a smaller one, else without', `${DEFLATE}; server_max_window_bits=10, ${DEFLATE}`, DEFLATE],
    ['without, else a smaller one', `${DEFLATE}, ${DEFLATE}; server_max_window_bits=10`, DEFLATE],
    ['two smaller ones', `${DEFLATE}; server_max_window_bits=10, ${DEFLATE}; server_max_window_bits=9`, ''],
    ['another extension', 'x-webkit-deflate-frame', 'x-webkit-deflate-frame'],
  ])('%s', (_what, header, expected) => {
    expect(suitableExtensions(header)).toBe(expected);
  });
});
