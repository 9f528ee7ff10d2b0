import fc from 'fast-check';
import { flowArbitrary } from './flow-arbitrary.ts';
import type { Flow, World } from './objects.ts';
import { SERVICES } from './places.ts';
import { nodeSpec, optionSpec, serviceSpec } from './specs.ts';
import { maybe } from './weights.ts';
import { nodeObjects, serviceObject, sliceObjects } from './world-objects.ts';

/** A world, and packets that are sent there. */
export interface Case {
  readonly world: World;
  readonly flows: readonly Flow[];
}

export const caseArbitrary: fc.Arbitrary<Case> = fc
  .record({
    node: nodeSpec,
    options: optionSpec,
    specs: fc.array(maybe(serviceSpec, 6), { minLength: SERVICES, maxLength: SERVICES }),
    flows: fc.array(flowArbitrary, { minLength: 1, maxLength: 40, size: 'max' }),
  })
  .map(({ node, options, specs, flows }) => {
    const services = specs.flatMap((spec, id) => (spec === undefined ? [] : [{ ...spec, id }]));
    const objects = [
      ...nodeObjects(node),
      ...services.map(serviceObject),
      ...services.flatMap((service) => sliceObjects(service, node)),
    ];
    return { world: { objects, options }, flows };
  });
