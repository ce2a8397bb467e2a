// npm `@vladmandic/face-api`: its model of expressions on a folder of test images.
//
//     node npm_face_api.mjs test/ npm-face-api.csv
//
// `faceExpressionNet.predictExpressions` is given the image in three equal channels and does the rest (112×112).
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { grey, samples, write } from './images.mjs';

const installed = join(process.cwd(), 'node_modules', '@vladmandic', 'face-api');
const faceapi = createRequire(import.meta.url)(join(installed, 'dist', 'face-api.node-wasm.js'));
const { tf } = faceapi;
const CLASSES = ['neutral', 'happy', 'sad', 'angry', 'fearful', 'disgusted', 'surprised'];
const OURS = ['neutral', 'happy', 'sad', 'angry', 'fear', 'disgust', 'surprise'];

const [folder, target] = process.argv.slice(2);
await tf.setBackend('wasm');
await tf.ready();
const network = faceapi.nets.faceExpressionNet;
await network.loadFromDisk(join(installed, 'model'));
const rows = [];
for (const { sample, file } of samples(folder)) {
  const { width, height, values } = grey(file);
  const image = tf.tensor3d(Int32Array.from({ length: 3 * values.length }, (_, i) => values[Math.floor(i / 3)]), [height, width, 3], 'int32');
  const found = await network.predictExpressions(image);
  rows.push({ sample, probabilities: CLASSES.map((name) => found[name]) });
  image.dispose();
}
write(target, OURS, rows);
