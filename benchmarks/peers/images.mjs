// The test images that `fer score --images` wrote, and the CSV file of probabilities that `fer score` reads.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';

export function samples(folder) {
  const [, ...rows] = readFileSync(join(folder, 'samples.csv'), 'utf8').trim().split('\n');
  return rows.map((row) => row.split(',')).map(([sample, file]) => ({ sample, file: join(folder, file) }));
}

// Grey values of a PNG file, uint8, and its sides in pixels.
export function grey(file) {
  const { width, height, data } = PNG.sync.read(readFileSync(file));
  return { width, height, values: Uint8Array.from({ length: width * height }, (_, i) => data[4 * i]) };
}

export function write(target, classes, rows) {
  const lines = rows.map(({ sample, probabilities }) => [sample, ...probabilities].join(','));
  writeFileSync(target, [['sample', ...classes.map((name) => `p_${name}`)].join(','), ...lines].join('\n') + '\n');
}
