/* The clock that times work. */
#ifndef VLM_CLOCK_H
#define VLM_CLOCK_H

double vlm_now_ms(void);               /* milliseconds since some moment, never back. Any thread. */
#endif
