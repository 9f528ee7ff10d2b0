import { bypass } from './bypass.ts';
import { deploying } from './deploying.ts';
import { explaining } from './explaining.ts';
import type { Mutant } from './mutant.ts';
import { odd } from './odd.ts';
import { outside } from './outside.ts';
import { policies } from './policies.ts';
import { programs } from './programs.ts';
import { rules } from './rules.ts';
import { scheduling } from './scheduling.ts';
import { servers } from './servers.ts';
import { sockets } from './sockets.ts';
import { stages } from './stages.ts';
import { inStories } from './stories.ts';
import { takeover } from './takeover.ts';
import { telling } from './telling.ts';
import { watching } from './watching.ts';
import { xdp } from './xdp.ts';

/**
 * All deliberate faults. One that was found in real life belongs here, beside the test that would have caught it. `make
 * mutants` tries them.
 */
export const mutants: readonly Mutant[] = [
  ...stages,
  ...outside,
  ...policies,
  ...programs,
  ...odd,
  ...telling,
  ...sockets,
  ...rules,
  ...servers,
  ...watching,
  ...explaining,
  ...xdp,
  ...inStories,
  ...bypass,
  ...scheduling,
  ...takeover,
  ...deploying,
];
