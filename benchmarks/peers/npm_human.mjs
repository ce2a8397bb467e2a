// npm `@vladmandic/human`: its default model of expressions on a folder of test images.
//
//     node npm_human.mjs test/ npm-human.csv
//
// The image is resized to the model's 64×64 and scaled to [-1, 1], as src/gear/emotion.ts does with a face that was found.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { grey, samples, write } from './images.mjs';

const installed = join(process.cwd(), 'node_modules', '@vladmandic', 'human'); // its `exports` hide the files from require
const { Human } = createRequire(import.meta.url)(join(installed, 'dist', 'human.node-wasm.js'));
const { tf } = new Human({ backend: 'wasm' });
const CLASSES = ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral']; // `annotations` of a grey model

const [folder, target] = process.argv.slice(2);
const models = join(installed, 'models');
const description = JSON.parse(readFileSync(join(models, 'emotion.json')));
const weights = readFileSync(join(models, 'emotion.bin'));
await tf.setBackend('wasm');
await tf.ready();
const model = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: description.modelTopology,
    weightSpecs: description.weightsManifest[0].weights,
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  }),
});
const side = model.inputs[0].shape[2];
const rows = samples(folder).map(({ sample, file }) => {
  const { width, height, values } = grey(file);
  const probabilities = tf.tidy(() => {
    const image = tf.tensor4d(Float32Array.from(values, (value) => value / 255), [1, height, width, 1]);
    const face = tf.image.resizeBilinear(image, [side, side], false);
    return Array.from(model.execute(tf.mul(tf.sub(face, 0.5), 2)).dataSync());
  });
  return { sample, probabilities };
});
write(target, CLASSES, rows);
